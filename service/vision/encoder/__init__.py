"""An image encoder of our own: its network, its weights as a backbone, and how it is distilled from a teacher."""
