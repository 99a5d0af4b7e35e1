"""The proof that every action and resource of every statement is needed, and that a stolen role gets nowhere."""
