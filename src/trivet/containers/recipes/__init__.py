"""Reads how an application is made and started: from its Dockerfile or Procfile, as its image would be."""
