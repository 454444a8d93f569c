"""What a run looks like: videos, figures, and the report that tells its story."""
