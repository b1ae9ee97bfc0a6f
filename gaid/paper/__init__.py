"""The paper's tables and figures: what is extracted and trained for them, the published figures and their sources, the pages."""
