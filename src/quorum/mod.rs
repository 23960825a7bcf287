//! openraft and fjall behind one door. Every openraft name of the project stays in this room.
