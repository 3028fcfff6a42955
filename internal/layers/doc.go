// Package layers holds the test that keeps the house in order: which package may import which, and who may use what
// of other people's modules. The rules are a table in rules_test.go; a new package gets a row there.
package layers
