"""What podman and docker have in common: images of folders, containers with limits, and their end."""
