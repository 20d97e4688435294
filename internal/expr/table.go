package expr

import (
	"strings"
	"unicode/utf8"
)

var (
	textParam  = []Param{required("source", Scalar, "the text")}
	valueParam = []Param{required("expression", Any, "the value to look at")}
)

func dateParams(second, third string) []Param {
	return []Param{
		required("interval", Scalar, "`yyyy` year, `m` month, `d` day, `ww` week, `h` hour, `n` minute, `s` second; also `q` quarter, `w`, `y`. Case counts."),
		required(second, dateParamType(second), dateParamDoc(second)), required(third, DateText, "a date"),
	}
}

func dateParamType(name string) ParamType {
	if name == "value" {
		return Number
	}
	return DateText
}

func dateParamDoc(name string) string {
	if name == "value" {
		return "how many intervals to add; negative to go back"
	}
	return "the date that is subtracted"
}

const (
	trapDates  = "Wrap an attribute with `CDate`, and see there which dates are understood. Null and an empty text are errors."
	trapOffset = "Entra documents `yyyy`, `m`, `d`, `ww`, `h`, `n` and `s` only; `q`, `w` and `y` are those of Visual Basic."
)

// table is the language, in alphabetical order: the compiler, the checker and the reference page read it.
var table = []Function{
	{Name: "Append", Returns: Scalar, Params: []Param{required("source", Scalar, "the text to begin with"), required("suffix", Scalar, "what is added at its end")},
		Doc: "Adds a suffix to the end of a text.", Traps: []string{"A null source gives null, not the suffix alone. A null suffix adds nothing."},
		Examples: []Example{
			example(`Append([userName], ".test")`, "ana@contoso.example.test", given("userName", "ana@contoso.example")),
			example(`Append(Mid([givenName], 1, 3), Mid([surname], 1, 5))`, "JohDoe", given("givenName", "John"), given("surname", "Doe")),
		}, build: concat(0)},
	{Name: "AppRoleAssignments", Refused: outboundOnly},
	{Name: "AppRoleAssignmentsComplex", Refused: outboundOnly},
	{Name: "AssertiveAppRoleAssignmentsComplex", Refused: outboundOnly},
	{Name: "BitAnd", Returns: Number, Params: []Param{required("value1", Number, "a whole number, decimal or hexadecimal as `&HF7`"), required("value2", Number, "another")},
		Doc: "Keeps the bits that both numbers have set.", Traps: []string{"If either is null the result is null."},
		Examples: []Example{example(`BitAnd(&HF, &HF7)`, "7"), example(`BitAnd([userAccountControl], 2)`, "2", given("userAccountControl", "514"))}, build: plain(bitAnd)},
	{Name: "CBool", Returns: Truth, Params: []Param{required("expression", Condition, "a comparison, a number, or `true` or `false`")},
		Doc: "Says whether a condition holds, or a number is not 0.", Traps: []string{"Null and an empty text are `False`. Another text that is neither a number nor `true` or `false` is an error."},
		Examples: []Example{example(`CBool([a] = [b])`, "True", given("a", "x"), given("b", "x")), example(`CBool("0")`, "False")},
		build:    onValue(func(v Value) (Value, error) { b, err := truth(v); return Bool(b), err })},
	{Name: "CDate", Returns: DateText, Params: []Param{required("expression", Scalar, "a text that says a date")},
		Doc: "Reads a date and gives it in UTC as `M/d/yyyy h:mm:ss tt`. It reads ISO 8601, dates with the month first as in `1/31/2006`, and dates with the name of the month.",
		Traps: []string{
			"A date without an offset is in UTC. One with an offset can fall on another day in UTC.",
			"`5/6/2021` is the 6th of May. `31.12.2021` and `31-12-2021` are refused, because countries differ about them: use `FormatDateTime`.",
			"Null or an empty text is an error: guard it, as in `IIF(IsNullOrEmpty([d]), IgnoreAttributeFlow, CDate([d]))`.",
		},
		Examples: []Example{
			example(`CDate("2020-03-16-07:00")`, "3/16/2020 7:00:00 AM"), example(`CDate("2021-06-30+08:00")`, "6/29/2021 4:00:00 PM"),
			example(`CDate("2009-06-15T01:45:30-07:00")`, "6/15/2009 8:45:30 AM"), example(`CDate("16 March 2020")`, "3/16/2020 12:00:00 AM"),
		}, build: buildCDate},
	{Name: "CInt", Extension: true, Returns: Number, Params: []Param{required("value", Scalar, "a text that is a whole number")}, Doc: "Reads a text as a whole number.",
		Traps: []string{"A text that is no whole number, an empty one too, is an error. Null gives null."}, Examples: []Example{example(`CInt("007")`, "7")}, build: onText(toInteger)},
	{Name: "Coalesce", Returns: Any, Params: []Param{required("source", Any, "the value that is wanted first"), optional("sourceOrDefault", Any, "what is wanted next; the last may be a constant, the default")}, Repeat: 1,
		Doc:   "The first value that is neither null nor an empty text. If there is none, the first that is not null; if there is none either, null.",
		Traps: []string{"The reference says that only null is passed over, and shows an example where an empty text is: we pass over both."},
		Examples: []Example{
			example(`Coalesce([mail], [userName])`, "ana", given("mail"), given("userName", "ana")), example(`Coalesce([preferredName], [firstName])`, "Ana", given("preferredName", ""), given("firstName", "Ana")),
			example(`Coalesce([mail], "none")`, "none", given("mail")),
		}, build: plain(coalesce)},
	{Name: "Contains", Refused: cloudSyncOnly + "; write InStr(..., ...) > 0"},
	{Name: "ConvertFromBase64", Refused: cloudSyncOnly},
	{Name: "ConvertToBase64", Returns: Scalar, Params: textParam, Doc: "Base64 of the text in UTF-16, low byte first, which .NET calls Unicode.",
		Traps:    []string{"It is not the Base64 of the text in UTF-8, which most other systems expect."},
		Examples: []Example{example(`ConvertToBase64("Hello world!")`, "SABlAGwAbABvACAAdwBvAHIAbABkACEA")}, build: onString(toBase64)},
	{Name: "ConvertToUTF8Hex", Returns: Scalar, Params: textParam, Doc: "The bytes of the text in UTF-8, in capital hexadecimal digits.",
		Examples: []Example{example(`ConvertToUTF8Hex("Hello world!")`, "48656C6C6F20776F726C6421")}, build: onString(toHex)},
	{Name: "Count", MultiValued: true, Returns: Number, Params: []Param{required("attribute", Any, "an attribute that may have several values")}, Doc: "How many values an attribute has.",
		Traps: []string{"Null has 0, an empty text 1."}, Examples: []Example{example(`Count([mails])`, "2", given("mails", "a", "b")), example(`Count([mails])`, "0", given("mails"))},
		build: onValue(func(v Value) (Value, error) { return Int(int64(len(v.Elems()))), nil })},
	{Name: "CRef", Refused: cloudSyncOnly},
	{Name: "CStr", Returns: Scalar, Params: []Param{required("value", Scalar, "a number, a reference or a truth value")}, Doc: "Makes a text of a number, a reference or a truth value.",
		Traps: []string{"Truth values become `True` and `False`. Null gives null."}, Examples: []Example{example(`CStr([dn])`, "cn=Joe,dc=contoso,dc=example", given("dn", "cn=Joe,dc=contoso,dc=example"))}, build: onString(strings.Clone)},
	{Name: "DateAdd", Returns: DateText, Params: dateParams("value", "dateTime"), Doc: "Adds a number of intervals to a date.",
		Traps: []string{"A month that is too short gives its last day: a month after the 31st of January is the 28th or 29th of February.", "`w` and `y` add days, as `d` does. " + trapOffset, trapDates},
		Examples: []Example{
			example(`DateAdd("d", 7, CDate([hireDate]))`, "3/23/2012 7:00:00 AM", given("hireDate", "2012-03-16-07:00")), example(`DateAdd("d", -10, CDate([hireDate]))`, "3/6/2012 7:00:00 AM", given("hireDate", "2012-03-16-07:00")),
			example(`DateAdd("ww", 2, CDate([hireDate]))`, "3/30/2012 7:00:00 AM", given("hireDate", "2012-03-16-07:00")), example(`DateAdd("m", 10, CDate([hireDate]))`, "1/16/2013 7:00:00 AM", given("hireDate", "2012-03-16-07:00")),
			example(`DateAdd("yyyy", 2, CDate([hireDate]))`, "3/16/2014 7:00:00 AM", given("hireDate", "2012-03-16-07:00")), example(`DateAdd("m", 1, "2023-01-31")`, "2/28/2023 12:00:00 AM"),
		}, build: onInterval(dateAdd, 2)},
	{Name: "DateDiff", Returns: Number, Params: dateParams("date1", "date2"), Doc: "How many intervals lie between two dates: date2 minus date1, positive if date2 is later. Days, hours, minutes and seconds are whole ones that have passed; years, months and quarters are counted by the calendar, without regard to the day; `ww` counts the Sundays, `w` whole weeks.",
		Traps: []string{"`DateDiff(\"d\", Now(), [hireDate]) >= 0` is true *before* the hire date, not after it.", trapOffset, trapDates},
		Examples: []Example{
			example(`DateDiff("d", CDate("2021-08-18+08:00"), CDate("2021-08-31+08:00"))`, "13"),
			example(`DateDiff("d", "8/25/2021 5:41:18 PM", CDate("2012-03-16-07:00"))`, "-3449"), example(`DateDiff("ww", "8/25/2021 5:41:18 PM", CDate("2012-03-16-07:00"))`, "-493"),
			example(`DateDiff("m", "8/25/2021 5:41:18 PM", CDate("2012-03-16-07:00"))`, "-113"), example(`DateDiff("yyyy", "8/25/2021 5:41:18 PM", CDate("2012-03-16-07:00"))`, "-9"),
			example(`DateDiff("h", "2021-08-24", "2021-08-25")`, "24"),
			example(`IIF(DateDiff("d", Now(), CDate([hireDate])) > 5, "False", "True")`, "False", given("hireDate", "2999-01-01")),
		}, build: onInterval(dateDiff, 1, 2)},
	{Name: "DateFromNum", Returns: DateText, Params: []Param{required("value", Number, "100 ns since the year 1601, as Active Directory keeps times")}, Doc: "Reads a large-integer time of Active Directory.",
		Traps: []string{"0 and 9223372036854775807, which mean *never*, give null."}, Examples: []Example{example(`DateFromNum(129699324000000000)`, "1/1/2012 11:00:00 PM")}, build: onText(dateFromNum)},
	{Name: "DefaultDomain", Returns: Scalar, Doc: "The default domain of the directory.", Traps: []string{"If the installation has none the record fails."}, Examples: []Example{example(`Join("@", "ana", DefaultDomain())`, "ana@contoso.example")},
		build: plain(defaultDomain)},
	{Name: "DNComponent", Refused: cloudSyncOnly},
	{Name: "Error", Extension: true, Returns: Any, Params: []Param{required("message", Scalar, "what the log says")}, Doc: "Fails the record with a message, for records that must not pass.",
		Traps: []string{"Null gives null and does not fail."}, build: onText(fail)},
	{Name: "FormatDateTime", Returns: Scalar, Params: []Param{
		required("source", Scalar, "a text that says a date"), optional("dateTimeStyles", Scalar, "names of .NET's DateTimeStyles, with commas between them"),
		required("inputFormat", Scalar, "the .NET format that the source has"), required("outputFormat", Scalar, "the .NET format that is wanted")},
		Doc: "Reads a date in one format and gives it in another, in the offset that it has. `FormatDateTime(source, inputFormat, outputFormat)` is the same. Custom and standard format strings of .NET are understood, with English names.",
		Traps: []string{
			"Case counts: `MM` is the month, `mm` the minute; `HH` has 24 hours, `hh` 12 and needs `tt`; `yyyy` and `dd` are small.",
			"The source must have the format wholly and exactly: `dd` needs two digits, `d` takes one or two.",
			"The offset stays: `2020-12-31-08:00` is given as the 31st, not as it is in UTC. AdjustToUniversal changes that.",
			"Two digits of a year are 1950 to 2049. Null and an empty text give null.",
		},
		Examples: []Example{
			example(`FormatDateTime([date], , "yyyyMMddHHmmss.fZ", "yyyy-MM-dd")`, "2015-01-23", given("date", "20150123105347.1Z")), example(`FormatDateTime("2020-12-31-08:00", , "yyyy-MM-ddzzz", "yyyy-MM-dd")`, "2020-12-31"),
			example(`FormatDateTime("31.12.2020", , "dd.MM.yyyy", "yyyy-MM-dd")`, "2020-12-31"), example(`FormatDateTime(Now(), , "M/d/yyyy h:mm:ss tt", "MMMM d, yyyy")`, "July 2, 2021"),
			example(`FormatDateTime("2020-12-31-08:00", "AssumeUniversal, AdjustToUniversal", "yyyy-MM-ddzzz", "o")`, "2020-12-31T08:00:00.0000000Z"),
		}, build: buildFormatDateTime},
	{Name: "Guid", Returns: Scalar, Doc: "A new random GUID, in small letters with hyphens.", Volatile: true, Traps: []string{trapVolatile}, build: plain(guid)},
	{Name: "IgnoreFlowIfNullOrEmpty", Returns: Any, Params: valueParam, Doc: "The value, unless it is null or empty: then the attribute takes no part in the flow and the target keeps what it has.",
		Traps: []string{"Write it outermost: what it leaves out, no other function gets to see.", "A default value of the mapping is not written either."},
		Examples: []Example{
			example(`IgnoreFlowIfNullOrEmpty([department])`, "Sales", given("department", "Sales")), example(`IgnoreFlowIfNullOrEmpty(Switch([prefix], "", "3443", "Dr.", "3444", "Prof."))`, "Dr.", given("prefix", "3443")),
		}, build: onValue(ignoreIfEmpty)},
	{Name: "IIF", Returns: Any, Params: []Param{
		required("condition", Condition, "a comparison with `=`, `<>`, `<`, `<=`, `>` or `>=`, or a value that is true or false"),
		required("valueIfTrue", Any, "the value if it holds"), required("valueIfFalse", Any, "the value if it does not")},
		Doc: "One of two values, as a condition holds or does not. Only the value that is given is evaluated.",
		Traps: []string{
			"There is no AND and no OR: put an IIF into the first value for AND, into the second for OR.",
			"A comparison with null is false, whatever the operator: `[country] <> \"USA\"` does not hold for a person without a country, and `[country] = \"\"` does not either.",
			"Two values that both are numbers are compared as numbers, so that `\"007\" = \"7\"` holds; other texts are compared exactly, and case counts.",
			"Entra documents that `IsNull`, `IsNullOrEmpty` and `IsPresent` do not work in a condition. Here they do.",
		},
		Examples: []Example{
			example(`IIF([country] = "USA", [country], [department])`, "Sales", given("country", "Peru"), given("department", "Sales")),
			example(`IIF([country] = "USA", IIF([state] = "CA", "True", "False"), "False")`, "True", given("country", "USA"), given("state", "CA")),
			example(`IIF([country] = "USA", "True", IIF([state] = "CA", "True", "False"))`, "False", given("country", "Peru"), given("state", "Lima")),
			example(`IIF(IsPresent([end]), CDate([end]), IgnoreAttributeFlow)`, "12/31/2030 12:00:00 AM", given("end", "2030-12-31")),
		}, build: plain(iif)},
	{Name: "InStr", Returns: Number, Params: []Param{
		required("value1", Scalar, "the text that is searched"), required("value2", Scalar, "what is looked for"),
		optional("start", Number, "where to begin, from 1"), optional("compareType", CompareType, "`vbBinaryCompare`, where case counts, or `vbTextCompare`")},
		Doc: "Where a text is in another, counted from 1; 0 if it is not there.", Traps: []string{"Case counts unless compareType is `vbTextCompare`. The position counts from the start of the text, wherever the search begins."},
		Examples: []Example{
			example(`InStr("The quick brown fox", "quick")`, "5"), example(`InStr("repEated", "e", 3, vbBinaryCompare)`, "7"), example(`InStr("repEated", "e", 3, vbTextCompare)`, "4"),
			example(`IIF(InStr([mail], "@contoso.example") = 0, "", [mail])`, "ana@contoso.example", given("mail", "ana@contoso.example")),
		}, build: plain(inStr)},
	{Name: "IsNothing", Returns: Truth, Extension: true, Params: []Param{wire("source", valueParam[0])}, Doc: "The same as IsNull, under the name of an older version.", Examples: []Example{example(`IsNothing([displayName])`, "True", given("displayName"))},
		build: onValue(isNull)},
	{Name: "IsNull", Returns: Truth, Params: valueParam, Doc: "True if there is no value: the attribute is absent, null, or a list without values.", Traps: []string{"An empty text is a value."}, Examples: []Example{example(`IsNull([displayName])`, "True", given("displayName"))},
		build: onValue(isNull)},
	{Name: "IsNullOrEmpty", Returns: Truth, Params: valueParam, Doc: "True if there is no value, or an empty text.", Examples: []Example{example(`IsNullOrEmpty("")`, "True"), example(`IsNullOrEmpty([displayName])`, "False", given("displayName", "Ana"))},
		build: onValue(func(v Value) (Value, error) { return Bool(v.IsEmpty()), nil })},
	{Name: "IsPresent", Returns: Truth, Params: valueParam, Doc: "True if there is a value that is not an empty text: the opposite of IsNullOrEmpty.", Traps: []string{"Do not use it as the source of `Switch`; use IIF."}, Examples: []Example{example(`IsPresent([displayName])`, "True", given("displayName", "Ana"))},
		build: onValue(func(v Value) (Value, error) { return Bool(!v.IsEmpty()), nil })},
	{Name: "IsString", Returns: Truth, Params: valueParam, Doc: "True for any single value: each can be a text.", Traps: []string{"Null, and an attribute with several values, give `False`."}, Examples: []Example{example(`IsString("a")`, "True")},
		build: onValue(func(v Value) (Value, error) { return Bool(!v.IsNull() && v.Kind() != List), nil })},
	{Name: "Item", MultiValued: true, Returns: Scalar, Params: []Param{required("attribute", Any, "an attribute that may have several values"), required("index", Number, "which of them, from 1")}, Doc: "One value of an attribute, counted from 1.",
		Traps: []string{"An index beyond the last value is an error: compare with `Count` first. Null gives null."}, Examples: []Example{example(`Item([mails], 2)`, "b", given("mails", "a", "b"))}, build: plain(item)},
	{Name: "Join", MultiValued: true, Returns: Scalar, Params: []Param{required("separator", Scalar, "what stands between the values; may be empty"), required("source", Any, "a value, or an attribute with several")}, Repeat: 1,
		Doc:   "Puts texts together with a separator between them.",
		Traps: []string{"Values that are null or empty are left out with their separator. If all are, the result is null, which does not flow.", "Nothing is put into small letters: add `ToLower`."},
		Examples: []Example{
			example(`Join(", ", "", [surname], [givenName])`, "Doe, John", given("surname", "Doe"), given("givenName", "John")), example(`Join("-", [mails], 3)`, "a-b-3", given("mails", "a", "b")),
			example(`Join("@", NormalizeDiacritics(StripSpaces(Join(".", [first], [last]))), "contoso.example")`, "John.Smith@contoso.example", given("first", "John"), given("last", "Smith")),
		}, build: plain(join)},
	{Name: "Left", Returns: Scalar, Params: []Param{required("string", Scalar, "the text"), required("numChars", Number, "how many characters")}, Doc: "The first characters of a text.",
		Traps: []string{"Null gives an empty text, a negative number the whole text."}, Examples: []Example{example(`Left("John Doe", 3)`, "Joh")}, build: side(false)},
	{Name: "Len", Returns: Number, Params: []Param{required("value", Scalar, "the text")}, Doc: "How many characters a text has.",
		Traps:    []string{"Null has 0. Characters are counted; .NET counts a few of them, such as emoji, as two."},
		Examples: []Example{example(`Len("John Doe")`, "8")}, build: plain(func(s *site, ctx *Context) (Value, error) {
			t, _, err := s.text(ctx, 0)
			return Int(int64(utf8.RuneCountInString(t))), err
		})},
	{Name: "Mid", Returns: Scalar, Params: []Param{required("source", Scalar, "the text"), required("start", Number, "the first character, from 1"), required("length", Number, "how many characters")},
		Doc:      "A part of a text. If the text ends earlier, the part up to its end.",
		Traps:    []string{"A start that is less than 1 or beyond the end gives *the whole text*: `Mid(\"J\", 2, 64)` is `J`. So does a negative length.", "Null gives an empty text."},
		Examples: []Example{example(`Mid("John Doe", 3, 5)`, "hn Do"), example(`Mid("John Doe", 6, 999)`, "Doe"), example(`Mid("J", "2", "64")`, "J")}, build: plain(mid)},
	{Name: "NormalizeDiacritics", Returns: Scalar, Params: textParam, Doc: "Replaces letters with diacritics by plain ones, by the published table, and leaves everything else.",
		Traps:    []string{"ä, ö and ü become a, o and u; ß becomes ss, ø oe, æ ae. Letters that the table lacks stay: đ, þ, ð, œ, ħ, Cyrillic, Greek."},
		Examples: []Example{example(`NormalizeDiacritics("Zoë Groß Øre")`, "Zoe Gross OEre")}, build: onString(normalizeDiacritics)},
	{Name: "Not", Returns: Truth, Params: []Param{required("source", Any, "a truth value")}, Doc: "`False` if the source is `True`; anything else gives `True`.",
		Traps:    []string{"Null gives `True` as well: `Not([active])` on `accountDisabled` disables whoever comes without `active`."},
		Examples: []Example{example(`Not("True")`, "False"), example(`Not([active])`, "True", given("active"))}, build: onValue(not)},
	{Name: "Now", Returns: DateText, Doc: "The time of the evaluation in UTC, as `M/d/yyyy h:mm:ss tt`: the same in all mappings of a record.", Volatile: true,
		Traps: []string{trapVolatile}, Examples: []Example{example(`Now()`, "7/2/2021 3:33:38 PM")},
		build: plain(func(_ *site, ctx *Context) (Value, error) { return dateValue(ctx.Now.UTC()), nil })},
	{Name: "NumFromDate", Returns: Number, Params: []Param{required("value", Scalar, "an ISO 8601 date, with `T` or a blank before the time")}, Doc: "Makes a large-integer time of Active Directory, as for accountExpires.",
		Traps: []string{"Other dates must go through `FormatDateTime` first. For *never* use the constant 9223372036854775807, not a date such as 12/31/9999.", "Null and an empty text give null."},
		Examples: []Example{
			example(`NumFromDate("2020-12-31 23:59:59-08:00")`, "132539615990000000"), example(`NumFromDate("2012-01-01T23:00:00Z")`, "129699324000000000"),
			example(`NumFromDate(Join("", FormatDateTime([end], , "yyyy-MM-ddzzz", "yyyy-MM-dd"), " 23:59:59-08:00"))`, "132539615990000000", given("end", "2020-12-31-08:00")),
		}, build: onText(numFromDate)},
	{Name: "PCase", Returns: Scalar, Params: []Param{required("source", Scalar, "the text"), optional("wordSeparators", Scalar, "the characters that separate words, and only they")},
		Doc:   "Makes the first letter of each word a capital and the others small. Without separators, spaces, punctuation and symbols separate words.",
		Traps: []string{"An apostrophe separates words too: `O'NEIL` becomes `O'Neil`, but `john's` becomes `John'S`. Give `\" -\"` as separators if that is not wanted."},
		Examples: []Example{
			example(`PCase("PABLO GONSALVES (SECOND)")`, "Pablo Gonsalves (Second)"), example(`PCase("PINTO-DE'SILVA", " '-")`, "Pinto-De'Silva"),
			example(`PCase(Join(" ", [first], [last]))`, "Gregory James", given("first", "GREGORY"), given("last", "JAMES")),
		}, build: plain(properCase)},
	{Name: "Prepend", Extension: true, Returns: Scalar, Params: []Param{required("prefix", Scalar, "what is added at the start"), required("source", Scalar, "the text")}, Doc: "Adds a prefix to the start of a text.",
		Traps: []string{"A null source gives null."}, Examples: []Example{example(`Prepend("x-", "a")`, "x-a")}, build: concat(1)},
	{Name: "RandomString", Returns: Scalar, Params: []Param{
		required("Length", Number, "how many characters, at most 256"), required("MinimumNumbers", Number, "how many digits at least"), required("MinimumSpecialCharacters", Number, "how many special characters at least"),
		required("MinimumCapital", Number, "how many capitals at least"), required("MinimumLowerCase", Number, "how many small letters at least"), optional("CharactersToAvoid", Scalar, "characters that are not used")},
		Doc:      "A random text with at least so many characters of each class; what is left is filled from the classes that have a minimum.",
		Traps:    []string{trapVolatile, "For a password write `Redact(RandomString(...))`, or the log shows it."},
		Examples: []Example{example(`Len(RandomString(10, 2, 2, 2, 1, "?,"))`, "10")}, Volatile: true, build: buildRandomString},
	{Name: "Redact", Returns: Any, Params: []Param{required("value", Any, "an attribute, a constant or a call")}, Doc: "The value itself, which logs show as `[Redact]`.",
		Traps:    []string{"Every attribute that is read in it is masked wherever it is shown, and the whole mapping is, if Redact stands anywhere in it.", "The mapping itself is not masked: a secret that is written into it as a constant can be read there."},
		Examples: []Example{example(`Redact([salary])`, "1000", given("salary", "1000"))}, build: onValue(func(v Value) (Value, error) { return v, nil })},
	{Name: "RemoveDuplicates", MultiValued: true, Returns: Values, Params: []Param{required("attribute", Any, "an attribute that may have several values")}, Doc: "Keeps the first of values that are equal.",
		Traps: []string{"Case counts."}, Examples: []Example{example(`RemoveDuplicates([mails])`, "a;b", given("mails", "a", "b", "a"))}, build: onValue(removeDuplicates)},
	{Name: "Replace", Returns: Scalar, Params: []Param{
		required("source", Scalar, "the text"), wire("Find", optional("oldValue", Scalar, "plain text to look for")),
		wire("RegularExpression", optional("regexPattern", Scalar, "a .NET regular expression to look for")), wire("RegularExpressionGroupName", optional("regexGroupName", Scalar, "the group of it that is replaced or taken")),
		wire("Replacement", optional("replacementValue", Scalar, "what is put there")), wire("ReplacementPropertyName", optional("replacementAttributeName", Scalar, "another attribute to take the value from")),
		wire("Template", optional("template", Scalar, "a text that the source is put into"))},
		Doc: "Replaces in a text. Which arguments are given decides how; the others are left empty:\n\n" +
			"- *oldValue, replacementValue*: each oldValue in the source is replaced.\n" +
			"- *oldValue, template*: each oldValue in the template is replaced by the source.\n" +
			"- *regexPattern, replacementValue*: each match is replaced; `${name}`, `$1` and `$&` stand for what a group or the match took, `$$` for a dollar sign.\n" +
			"- *regexPattern, regexGroupName, replacementValue*: in each match, only what the group took is replaced.\n" +
			"- *regexPattern, regexGroupName, replacementAttributeName*: the source if it is not empty; else what the group takes of the other attribute.",
		Traps: []string{
			"Case counts; begin a pattern with `(?i)` if it should not.", "In a text a backslash is written twice: `\"\\\\d+\"` is the pattern `\\d+`.",
			"The pattern is looked for anywhere in the source, each time that it occurs; anchor it with `^` and `$` to match all of it.",
			"Patterns are those of .NET without balancing groups and conditions. One that needs too many steps on a value fails the record.",
			"A null source gives null in all forms but the last.",
		},
		Examples: []Example{
			example(`Replace([title], "Product Developer", , , "Software Engineer", , )`, "Software Engineer", given("title", "Product Developer")),
			example(`Replace([id], "<username>", , , , , "<username>@contoso.example")`, "jsmith@contoso.example", given("id", "jsmith")),
			example(`Replace([tel], , "\\+(?<isdCode>\\d* )(?<phoneNumber>\\d{10})", , "${phoneNumber}", , )`, "9998887777", given("tel", "+91 9998887777")),
			example(`Replace([mobile], , "[()\\s-]+", , "", , )`, "+19998887777", given("mobile", "+1 (999) 888-7777")),
			example(`Replace([street], , "(?<streetNumber>^\\d*)", "streetNumber", "888", , )`, "888 Tremont Street", given("street", "545 Tremont Street")),
			example(`Replace([userName], , "(?<Suffix>@(.)*)", "Suffix", "", , )`, "jsmith", given("userName", "jsmith@contoso.example")),
			example(`Replace([tel], , "\\+(?<isdCode>\\d* )(?<phoneNumber>\\d{10})", "phoneNumber", , [mobile], )`, "8887779999", given("tel"), given("mobile", "+91 8887779999")),
			example(`Replace([nick], , "[a-zA-Z_]*", , "", , )`, "72", given("nick", "john_doe72")),
			example(`Replace(Join("", "00000000", [id]), , "(.*?)(?<id>.{0,8})$", , "${id}", , )`, "00012345", given("id", "12345")),
		}, build: buildReplace},
	{Name: "Right", Extension: true, Returns: Scalar, Params: []Param{required("string", Scalar, "the text"), required("numChars", Number, "how many characters")}, Doc: "The last characters of a text.",
		Traps: []string{"Null gives an empty text, a negative number the whole text."}, Examples: []Example{example(`Right("John Doe", 3)`, "Doe")}, build: side(true)},
	{Name: selectUniqueValue, Returns: Scalar, Params: []Param{required("rule1", Scalar, "the value that is wanted most"), required("rule2", Scalar, "the value if that is taken; more rules may follow")}, Repeat: 1, Volatile: true,
		Doc:      "The first of its rules whose value nobody in the target has yet. A rule is evaluated when those before it are taken.",
		Traps:    []string{"It must be the outermost function, on an attribute that is not a matching attribute.", "Apply the mapping only when a person is created, or people are renamed later.", "A rule that is null or empty is passed over. If all are taken the record fails, and is tried again later."},
		Examples: []Example{example(`SelectUniqueValue(Join(".", [first], [last]), Join(".", Left([first], 1), [last]))`, "John.Smith", given("first", "John"), given("last", "Smith"))},
		build:    plain(firstRule)},
	{Name: "SingleAppRoleAssignment", Refused: outboundOnly},
	{Name: "Split", MultiValued: true, Returns: Values, Params: []Param{required("source", Scalar, "the text"), required("delimiter", Scalar, "what stands between the values")}, Doc: "Makes several values of a text.",
		Traps:    []string{"Values are not trimmed: `\"a, b\"` gives `a` and ` b`. Empty ones are left out; if none is left, and for null, the result is null."},
		Examples: []Example{example(`Split("a,b,,c", ",")`, "a;b;c"), example(`Split(Join(",", "smtp:a@contoso.example", "SMTP:b@contoso.example"), ",")`, "smtp:a@contoso.example;SMTP:b@contoso.example")}, build: split},
	{Name: "StringFromSid", Refused: cloudSyncOnly},
	{Name: "StripSpaces", Returns: Scalar, Params: textParam, Doc: "Removes all spaces.", Traps: []string{"Tabs and no-break spaces stay."}, Examples: []Example{example(`StripSpaces("J o e")`, "Joe")},
		build: onString(func(t string) string { return strings.ReplaceAll(t, " ", "") })},
	{Name: "Switch", Returns: Any, Params: []Param{
		required("source", Scalar, "the value to look up"), optional("defaultValue", Any, "the value if no key is equal"),
		wire("switchValue", required("key", Scalar, "a value that the source may have")), wire("switchValue", required("value", Any, "the value for it"))}, Repeat: 2,
		Doc: "The value of the first key that equals the source, else the default value, else null. Only the value that is given is evaluated.",
		Traps: []string{
			"Case counts: put the source through `ToLower` and write the keys in small letters.", "The key `\"\"` stands for null too.", "Truth values are `True` and `False`.",
			"Do not use it for a reference such as manager, nor with IsNull, IsNullOrEmpty or IsPresent as the source.", "A record that omits the attribute takes the default value.",
		},
		Examples: []Example{
			example(`Switch([state], "Other", "NSW", "Australia/Sydney", "QLD", "Australia/Brisbane")`, "Australia/Brisbane", given("state", "QLD")), example(`Switch([flag], "Default", "true", "1", "", "0")`, "0", given("flag")),
			example(`Switch([country], [country], "", "Other")`, "Peru", given("country", "Peru")), example(`Switch([active], , "0", "True", "1", "False")`, "False", given("active", "1")),
		}, build: buildSwitch},
	{Name: "ToLower", Returns: Scalar, Params: []Param{required("source", Scalar, "the text"), optional("culture", Scalar, "the name of a culture such as `tr-TR`; without one, the same everywhere")}, Doc: "Makes all letters small.",
		Traps:    []string{"A target that does not tell capitals from small letters sees no change if only the case of its value differs."},
		Examples: []Example{example(`ToLower("ÅSA")`, "åsa"), example(`ToLower("I", "tr-TR")`, "ı")}, build: changeCase(lower, lowerSpecial)},
	{Name: "ToUpper", Returns: Scalar, Params: []Param{required("source", Scalar, "the text"), optional("culture", Scalar, "the name of a culture such as `tr-TR`; without one, the same everywhere")}, Doc: "Makes all letters capitals.",
		Traps:    []string{"ß stays as it is, as in .NET."},
		Examples: []Example{example(`ToUpper("åsa")`, "ÅSA"), example(`ToUpper("i", "tr-TR")`, "İ")}, build: changeCase(upper, upperSpecial)},
	{Name: "Trim", Extension: true, Returns: Scalar, Params: textParam, Doc: "Removes white space at both ends.", Examples: []Example{example(`Trim(" a b ")`, "a b")}, build: onString(strings.TrimSpace)},
	{Name: "Word", Returns: Scalar, Params: []Param{required("string", Scalar, "the text"), required("wordNumber", Number, "which word, from 1"), required("delimiters", Scalar, "the characters that separate words")}, Doc: "One word of a text, counted from 1.",
		Traps:    []string{"Each character of delimiters separates words, and several in a row count as one. If there are too few words, or no text, the result is an empty text."},
		Examples: []Example{example(`Word("The quick brown fox", 3, " ")`, "brown"), example(`Word("This,string!has&many separators", 3, ",!&#")`, "has")}, build: plain(word)},
}

const trapVolatile = "It gives another value each time: apply the mapping only when a person is created, or every evaluation is an update."
