"""The kill harness: a store whose process is killed again and again, and what it still holds each time it is opened."""
