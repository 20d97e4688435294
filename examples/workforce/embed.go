// Package workforce holds an invented company's HR export and the mapping that uploads it.
package workforce

import _ "embed"

//go:generate go run generate.go

// CSV is the export: about a thousand people, with the flaws of a real one.
//
//go:embed workforce.csv
var CSV []byte

// Mapping is the mapping file that makes SCIM users of CSV.
//
//go:embed workforce.mapping.json
var Mapping []byte
