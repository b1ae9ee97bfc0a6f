"""Scores of all (text, video) pairs: the algebra, the folded and the direct way, and the plan of work within a bound of memory."""
