"""What our own encoder gives and costs beside the built-in descriptor and its teacher."""
