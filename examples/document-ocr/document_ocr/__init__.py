"""Reading text from scanned pages: the example application of idenTTqueue."""
