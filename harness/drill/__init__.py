"""What a drill file is: its schema, its loader, and the catalogue of claims."""
