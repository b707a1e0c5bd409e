"""The platform under the services: log, signing, sealing, streams, settings, telemetry. No business rule."""
