"""Those who watch a drill and write what they see into the journal."""
