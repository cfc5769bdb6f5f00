//! What a job is and what its right answer is: bit for bit, on any machine.
