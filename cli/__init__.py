"""The top: commands, the embedded broker, `up`, `demo`, `serve`; the only place that knows all services."""
