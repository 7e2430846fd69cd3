"""Kind network, mammogram, breast ultrasound or other: pictures, training, judgement."""
