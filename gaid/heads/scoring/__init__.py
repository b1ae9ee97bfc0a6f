"""Scores of all (text, video) pairs: the algebra, the folded and the direct algorithm, and the plan of work within a memory bound."""
