package directory

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"induct/internal/expr"
	"induct/internal/provision"
)

// longest are the greatest lengths of text attributes in characters, as Microsoft Graph documents them for its
// user resource. employeeId is longer than there (16), so that people whose id is a GUID can be provisioned.
var longest = map[string]int{
	"city": 128, "companyName": 64, "country": 128, "department": 64, "displayName": 256, "employeeId": 64,
	"givenName": 64, "jobTitle": 128, "mailNickname": 64, "mobile": 64, "physicalDeliveryOfficeName": 128,
	"postalCode": 40, "state": 128, "streetAddress": 1024, "surname": 64, "telephoneNumber": 64,
	"facsimileTelephoneNumber": 64, "usageLocation": 2, "userPrincipalName": 113,
}

// longestOther bounds the text attributes that are not listed.
const longestOther = 1024

// check returns the value that an assignment stores, or why the directory refuses it.
func check(a provision.Assignment) (expr.Value, *provision.TargetError) {
	if a.Value.IsEmpty() {
		return expr.Value{}, nil
	}
	limit, ok := longest[a.Attribute]
	if !ok {
		limit = longestOther
	}
	if a.Value.Kind() != expr.List {
		if problem := checkOne(a.Attribute, a.Value, limit); problem != nil {
			return expr.Value{}, problem
		}
	} else {
		for _, e := range a.Value.Elems() {
			if problem := checkOne(a.Attribute, e, limit); problem != nil {
				return expr.Value{}, problem
			}
		}
	}
	if a.Attribute == "userPrincipalName" {
		return a.Value, checkUPN(a.Value.String())
	}
	return a.Value, nil
}

// checkOne returns why the directory refuses a single value of at most limit characters; nil if it takes it.
func checkOne(attribute string, v expr.Value, limit int) *provision.TargetError {
	if v.Kind() == expr.DateTime {
		if _, err := time.Parse(time.RFC3339Nano, v.String()); err != nil {
			return &provision.TargetError{Code: "UnprocessableEntity", Attribute: attribute, Separable: separable(attribute),
				Reason: fmt.Sprintf("%s is '%s'; the directory takes times of the years 0 to 9999 (RFC 3339)", attribute, v),
				Advice: "Correct the date at the source, or the mapping that computes it."}
		}
	}
	text := v.String()
	if len(text) <= limit { // no fewer bytes than characters
		return nil
	}
	if n := utf8.RuneCountInString(text); n > limit {
		return &provision.TargetError{Code: "UnprocessableEntity", Attribute: attribute, Separable: separable(attribute),
			Reason: fmt.Sprintf("%s is %d characters long; the directory takes at most %d: '%s…'", attribute, n, limit, firstRunes(text, 40)),
			Advice: "Shorten the value at the source, or with Left() in the mapping."}
	}
	return nil
}

// mandatory are what every user must have.
var mandatory = []string{"userPrincipalName", "displayName"}

// separable reports whether a user can do without the attribute, so that the rest of a change can be carried out.
func separable(attribute string) bool { return !slices.Contains(mandatory, attribute) }

func firstRunes(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// checkUPN applies the documented rules of userPrincipalName: local@domain, A-Z a-z 0-9 ' . - _ ! # ^ ~ before
// the @, no dot next to it, at most 64 characters before it and 48 after it.
func checkUPN(upn string) *provision.TargetError {
	bad := func(reason string) *provision.TargetError {
		return &provision.TargetError{Code: "AzureActiveDirectoryInvalidUserPrincipalName", Attribute: "userPrincipalName",
			Reason: fmt.Sprintf("'%s' cannot be a userPrincipalName: %s", upn, reason),
			Advice: "Correct the userName at the source, or make the userPrincipalName mapping produce a valid one (NormalizeDiacritics, Replace)."}
	}
	local, domain, ok := strings.Cut(upn, "@")
	switch {
	case !ok:
		return bad("it has no @")
	case local == "":
		return bad("nothing stands before the @ (was userName empty?)")
	case len(local) > 64:
		return bad("more than 64 characters stand before the @")
	case len(domain) > 48:
		return bad("the domain is longer than 48 characters")
	case domain == "" || strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, "."):
		return bad("the domain is not a domain name")
	case strings.HasSuffix(local, "."):
		return bad("a dot stands before the @")
	}
	for _, r := range local {
		if !isASCIIAlnum(r) && !strings.ContainsRune("'.-_!#^~", r) {
			return bad(fmt.Sprintf("the character %q is not allowed before the @", r))
		}
	}
	for _, r := range domain {
		if !isASCIIAlnum(r) && r != '.' && r != '-' {
			return bad(fmt.Sprintf("the character %q is not allowed in the domain", r))
		}
	}
	return nil
}

func isASCIIAlnum(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// complete checks that a user has what every user must have.
func complete(o *provision.Object) *provision.TargetError {
	for _, a := range mandatory {
		if o.Attributes[a].IsEmpty() {
			return &provision.TargetError{Code: "MandatoryFieldsMissing", Attribute: a,
				Reason: "an account must have a " + a + " and the record gives none",
				Advice: "Send the source attribute that is mapped to " + a + ", or change its mapping."}
		}
	}
	return nil
}
