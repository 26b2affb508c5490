"""What is trained here to show something: one folder a study."""
