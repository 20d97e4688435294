package bench

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strconv"
)

// Workforce makes realistic people: names in eight scripts, addresses, phones, managers, ids spread over the key
// space, members in a random order, and of the optional values one in eight is missing, one in a hundred null and one
// in a hundred empty. Person i is a function of the seed, the tag and i alone, so that any part can be made again.
//
// No two people of a workforce, and of workforces with different tags, share an id or a user name. It has room for
// 2^30 people.
type Workforce struct {
	Seed   uint64
	Tag    string // stands in ids and user names: lower-case ASCII letters and digits, or ""
	People int
}

// field is an optional value of a person.
type field struct {
	state fieldState
	text  string
}

type fieldState uint8

const (
	given fieldState = iota
	missing
	null
)

// person is one person as HR sees them.
type person struct {
	id, userName                         string
	active                               bool
	display, formatted, first, last      string
	title, nick, kind, language          field
	locale, zone, mail, phone, mobile    field
	located                              bool // has an address
	street, city, region, postal, nation field
	cost, firm, division, unit, manager  field
	hired, badge, building               field
}

// ID returns the externalId of person i.
func (w Workforce) ID(i int) string { return fmt.Sprintf("%s%010d", w.Tag, w.spread(i, 1)) }

// spread maps 0 … 2^30-1 onto itself, each step can be undone: numbers that are different stay different.
func (w Workforce) spread(i int, salt uint64) uint64 {
	const width, mask = 30, 1<<30 - 1
	key := bits.RotateLeft64(w.Seed*0x9e3779b97f4a7c15+salt, int(salt))
	x := uint64(i) & mask
	for range 3 {
		x = x * 0x2c1b3c6d & mask
		x ^= x >> (width / 2)
		x ^= key & mask
		key = bits.RotateLeft64(key, width/2)
	}
	return x
}

// optional gives text, or not.
func optional(r *rand.Rand, text string) field {
	switch n := r.IntN(200); {
	case n < 25:
		return field{state: missing}
	case n < 27:
		return field{state: null}
	case n < 29:
		return field{}
	}
	return field{text: text}
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// person makes person i; a changed one has another title.
func (w Workforce) person(i int, changed bool) (p person) {
	r := rand.New(rand.NewPCG(w.Seed, uint64(i)))
	v := words()
	s := v.script(r.IntN(1000))
	first, last := pick(r, s.given), pick(r, s.family)
	switch {
	case s.joint == " " && r.IntN(12) == 0:
		second := pick(r, s.given)
		first = name{first.native + "-" + second.native, first.ascii + second.ascii}
	case s.joint == " " && r.IntN(12) == 0:
		second := pick(r, s.family)
		last = name{last.native + "-" + second.native, last.ascii + second.ascii}
	}
	at := pick(r, v.places)
	p.id = w.ID(i)
	p.userName = first.ascii + "." + last.ascii + w.Tag + strconv.FormatUint(w.spread(i, 2), 10) + "@hr.nordwind.example"
	p.active = r.IntN(50) != 0
	p.first, p.last = first.native, last.native
	p.formatted = first.native + s.joint + last.native
	p.display = p.formatted
	if s.familyFirst {
		p.display = last.native + s.joint + first.native
	}
	title := pick(r, v.titles)
	if p.title = optional(r, title); changed {
		p.title = field{text: "Principal " + title}
	}
	p.nick = optional(r, first.native)
	p.kind = optional(r, pick(r, []string{"Employee", "Employee", "Employee", "Contractor", "Intern"}))
	p.language = optional(r, pick(r, s.languages))
	p.locale = optional(r, pick(r, s.languages))
	p.zone = optional(r, at.zone)
	p.mail = optional(r, p.userName[:len(p.userName)-len("hr.nordwind.example")]+"nordwind.example")
	p.phone = optional(r, at.dial+" 555 "+strconv.Itoa(1e5+r.IntN(9e5)))
	p.mobile = optional(r, at.dial[:3]+" 555 "+strconv.Itoa(1e7+r.IntN(9e7)))
	p.located = r.IntN(20) != 0
	p.street = optional(r, at.street+" "+strconv.Itoa(1+r.IntN(300)))
	p.city = optional(r, at.city)
	p.region = optional(r, at.region)
	p.postal = optional(r, fmt.Sprintf("%05d", r.IntN(1e5)))
	p.nation = optional(r, at.country)
	p.cost = optional(r, strconv.Itoa(1000+r.IntN(9000)))
	p.firm = optional(r, pick(r, v.firms))
	p.division = optional(r, pick(r, v.units))
	p.unit = optional(r, pick(r, v.units))
	p.manager = field{state: missing}
	if i > 0 {
		p.manager = optional(r, w.ID(i/12))
	}
	p.hired = optional(r, fmt.Sprintf("20%02d-%02d-%02dT00:00:00+01:00", r.IntN(26), 1+r.IntN(12), 1+r.IntN(28)))
	p.badge = optional(r, fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", uint32(r.Uint64()), uint16(r.Uint64()), r.IntN(1<<12), r.IntN(1<<12), r.Uint64()>>16))
	p.building = optional(r, "B"+strconv.Itoa(r.IntN(90)))
	return p
}

// script returns the script of a person who drew n of 1,000.
func (v *vocabulary) script(n int) *script {
	for i := range v.scripts {
		if n -= v.scripts[i].weight; n < 0 {
			return &v.scripts[i]
		}
	}
	return &v.scripts[0]
}

// object writes a JSON object with its members in a random order.
type object struct {
	r       *rand.Rand
	members []string // "" is a member that is missing and has its place
}

// The texts of people hold nothing that JSON would have escaped.
func (o *object) text(name, value string) {
	o.members = append(o.members, `"`+name+`":"`+value+`"`)
}

func (o *object) raw(name, value string) { o.members = append(o.members, `"`+name+`":`+value) }

func (o *object) field(name string, f field) {
	switch f.state {
	case given:
		o.text(name, f.text)
	case null:
		o.raw(name, "null")
	}
}

func (o *object) append(b []byte) []byte {
	o.r.Shuffle(len(o.members), func(i, j int) { o.members[i], o.members[j] = o.members[j], o.members[i] })
	comma := byte('{')
	for _, m := range o.members {
		if m != "" {
			b = append(append(b, comma), m...)
			comma = ','
		}
	}
	if comma == '{' {
		b = append(b, comma)
	}
	return append(b, '}')
}

const (
	enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	extensionURN  = "urn:ietf:params:scim:schemas:extension:nordwind:1.0:User"
)

// AppendPerson appends the record of person i, a JSON object. A changed person has another title, and all else,
// the order of the members too, is the same.
func (w Workforce) AppendPerson(b []byte, i int, changed bool) []byte {
	p := w.person(i, changed)
	r := rand.New(rand.NewPCG(w.Seed+1, uint64(i)))
	sub := func(fill func(o *object)) string {
		o := object{r: r}
		fill(&o)
		return string(o.append(nil))
	}
	o := object{r: r, members: make([]string, 0, 18)}
	o.raw("schemas", `["urn:ietf:params:scim:schemas:core:2.0:User","`+enterpriseURN+`","`+extensionURN+`"]`)
	o.text("externalId", p.id)
	o.text("userName", p.userName)
	o.raw("active", strconv.FormatBool(p.active))
	o.text("displayName", p.display)
	o.raw("name", sub(func(o *object) {
		o.text("givenName", p.first)
		o.text("familyName", p.last)
		o.text("formatted", p.formatted)
	}))
	// A title that is missing has its place too, so that a changed person has the same order.
	if p.title.state == missing {
		o.members = append(o.members, "")
	}
	o.field("title", p.title)
	o.field("nickName", p.nick)
	o.field("userType", p.kind)
	o.field("preferredLanguage", p.language)
	o.field("locale", p.locale)
	o.field("timezone", p.zone)
	if p.mail.state == given {
		o.raw("emails", "["+sub(func(o *object) { o.field("value", p.mail); o.text("type", "work"); o.raw("primary", "true") })+"]")
	}
	if phones := p.phones(sub); phones != "" {
		o.raw("phoneNumbers", "["+phones+"]")
	}
	if p.located {
		o.raw("addresses", "["+sub(func(o *object) {
			o.text("type", "work")
			o.field("streetAddress", p.street)
			o.field("locality", p.city)
			o.field("region", p.region)
			o.field("postalCode", p.postal)
			o.field("country", p.nation)
		})+"]")
	}
	o.raw(enterpriseURN, sub(func(o *object) {
		o.text("employeeNumber", p.id)
		o.field("costCenter", p.cost)
		o.field("organization", p.firm)
		o.field("division", p.division)
		o.field("department", p.unit)
		if p.manager.state == given && p.manager.text != "" {
			o.raw("manager", `{"value":"`+p.manager.text+`"}`)
		}
	}))
	o.raw(extensionURN, sub(func(o *object) {
		o.field("HireDate", p.hired)
		o.field("Badge", p.badge)
		o.field("Building", p.building)
	}))
	return o.append(b)
}

func (p *person) phones(sub func(func(*object)) string) (list string) {
	for _, f := range []struct {
		kind string
		field
	}{{"work", p.phone}, {"mobile", p.mobile}} {
		if f.state != given || f.text == "" {
			continue
		}
		if list != "" {
			list += ","
		}
		list += sub(func(o *object) { o.field("value", f.field); o.text("type", f.kind) })
	}
	return list
}

// AppendRequest appends a bulk request (RFC 7644 section 3.7) with these people, those of them changed that changed
// says. Its bulkIds are the people's numbers.
func (w Workforce) AppendRequest(b []byte, people []int, changed func(i int) bool) []byte {
	b = append(b, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[`...)
	for n, i := range people {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(append(b, `{"method":"POST","bulkId":"`...), int64(i), 10), `","path":"/Users","data":`...)
		b = append(w.AppendPerson(b, i, changed(i)), '}')
	}
	return append(b, `],"failOnErrors":null}`...)
}
