"""Which of several equal nodes answers a request: who is fit, in which order, and what a failure costs."""
