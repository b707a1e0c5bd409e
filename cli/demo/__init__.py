"""`callgate demo`: the whole story on real parts, every step checked."""

from cli.demo.run import run_demo

__all__ = ["run_demo"]
