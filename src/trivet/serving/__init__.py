"""The data plane: queues, replicas, lifecycle and routing. The only owner of tasks and threads."""
