"""Where models run: sessions, timing, memory, engines; one module or package a runtime."""
