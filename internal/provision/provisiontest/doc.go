// Package provisiontest holds the contract tests of the ports of package provision: TestStore for every Store,
// TestTarget for every Target; and Memory, a target in memory that can be told to misbehave.
package provisiontest
