"""Reading, checking, editing and building graphs."""
