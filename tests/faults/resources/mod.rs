//! The host is short of memory, descriptors or CPU, or of none of these but of room in a folder.

mod limits;
