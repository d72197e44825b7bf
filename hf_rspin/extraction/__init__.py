"""Units and features of a whole corpus as files: sharded, resumable, of bounded size."""
