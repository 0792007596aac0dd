"""What runs applications as processes: their packages and files, and a guard that leaves nothing behind."""
