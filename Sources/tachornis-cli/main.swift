print("tachornis")
