"""The six services. They share contracts and the platform, and never import each other."""
