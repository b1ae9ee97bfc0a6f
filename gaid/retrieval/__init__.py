"""Search of a library: the index, the candidates, and the head that scores them. Pages are left to `report`."""
