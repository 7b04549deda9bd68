//! The Director: who we are, which applications we may use, and what we report back.
