"""What may be asked and is answered, as models, and the description made of them."""
