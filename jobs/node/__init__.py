"""What a process knows of its machine and its scheduler, and how it is started, stopped and measured."""
