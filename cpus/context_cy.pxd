"""What a context may ask and change about itself: interrupts, bottom halves, preemption."""
