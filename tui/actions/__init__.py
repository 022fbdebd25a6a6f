"""What a person can do: keys, when an action is allowed, what it says, how it is sent."""
