"""What a job costs when there is more of something: rows, queues, nodes, duplicates, args, idleness."""
