"""Auto: what is chosen, and that plain decoding is among the choices."""

OPTIONS = [{}, {"nodes": 2}, {"nodes": 0}]
