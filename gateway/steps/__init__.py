"""What happens to a ranking after it was scored."""
