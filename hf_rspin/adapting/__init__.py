"""Own recordings of any kind -> an encoder that is adapted to them: plan, steps, report."""
