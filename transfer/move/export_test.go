package move

// Reread is what reads everything again.
var Reread = reread
