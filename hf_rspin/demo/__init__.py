"""A page to try models in: one recording, distorted as one likes, and the units it changes."""
