// Package bench measures a running service from outside, over the wire that clients use.
package bench

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// Workforce makes realistic people: names in several scripts, addresses, random ids, missing values, members in
// random order, managers. Person i is a function of the seed and i, so that any part can be made again.
type Workforce struct {
	Seed   uint64
	People int
}

// variant changes a person: pass 0 is the first form; Changed people have another title.
type variant struct {
	shuffle uint64 // members in another order
	changed bool
}

var (
	given   = []string{"Ada", "Björn", "Chloé", "Dmitrij", "Élise", "Fatima", "Gökhan", "Hana", "Íñigo", "Jürgen", "Katarzyna", "Łukasz", "Mariam", "Nikolaos", "Ólafur", "Paweł", "Quỳnh", "Renée", "Søren", "Tomáš", "Ulrike", "Václav", "Wei", "Ximena", "Yūki", "Željko"}
	family  = []string{"Lindqvist", "Müller", "Çelik", "Ōkubo", "Nguyễn", "García", "Kowalski", "Ivanova", "Papadopoulos", "Haddad", "Schäfer", "Dvořák", "Øster", "Petrović", "Rossi", "Silva", "Tanaka", "Ünal", "Vogel", "Wójcik", "Xu", "Yılmaz", "Zając", "Brandt", "Costa", "Dubois"}
	native  = []string{"山田", "Иванова", "محمد", "Παπαδόπουλος", "김민준", "王伟"}
	title   = []string{"Engineer", "Senior Engineer", "Baker", "Nurse", "Accountant", "Sales Manager", "Driver", "Clerk", "Head of Logistics", "Intern"}
	unit    = []string{"Research", "Sales", "Logistics", "Finance", "Production", "People", "Legal", "IT Operations"}
	street  = []string{"Hafenstraße", "Rue de la Paix", "Kungsgatan", "Via Roma", "Calle Mayor", "Hauptplatz", "Nowy Świat", "Harbour Road"}
	cities  = []string{"Lübeck", "Lyon", "Göteborg", "Torino", "Sevilla", "Graz", "Łódź", "Bristol"}
	country = []string{"DE", "FR", "SE", "IT", "ES", "AT", "PL", "GB"}
	locales = []string{"de-DE", "fr-FR", "sv-SE", "it-IT", "es-ES", "de-AT", "pl-PL", "en-GB"}
)

// ID returns the externalId of person i: spread over the key space, as HR numbers and GUIDs are.
func (w Workforce) ID(i int) string {
	r := rand.New(rand.NewPCG(w.Seed, uint64(i)))
	return fmt.Sprintf("%010d", r.Uint64()%1e6*1e4+uint64(i)%1e4) + strconv.FormatInt(int64(i/1e4), 36)
}

// AppendPerson appends the record of person i, a JSON object.
func (w Workforce) AppendPerson(b []byte, i int, v variant) []byte {
	r := rand.New(rand.NewPCG(w.Seed, uint64(i)))
	r.Uint64()
	g, f, place := given[r.IntN(len(given))], family[r.IntN(len(family))], r.IntN(len(cities))
	name := g + " " + f
	if r.IntN(20) == 0 {
		name = native[r.IntN(len(native))] + " " + f
	}
	id := w.ID(i)
	job := title[r.IntN(len(title))]
	if v.changed {
		job = "Principal " + job
	}
	members := make([]string, 0, 12)
	text := func(k, val string) {
		if r.IntN(8) != 0 { // 12.5 % of the optional values are missing
			members = append(members, `"`+k+`":"`+val+`"`)
		}
	}
	members = append(members, `"externalId":"`+id+`"`, `"userName":"p`+id+`@old.example"`, `"active":true`, `"displayName":"`+name+`"`,
		`"name":{"givenName":"`+g+`","familyName":"`+f+`","formatted":"`+name+`"}`)
	text("title", job)
	text("nickName", g)
	text("userType", "Employee")
	text("preferredLanguage", locales[place])
	text("locale", locales[place])
	text("timezone", "Europe/Berlin")
	members = append(members, fmt.Sprintf(`"emails":[{"value":"%d.%s@work.example","type":"work","primary":true}]`, i, strconv.FormatUint(r.Uint64(), 36)))
	members = append(members, fmt.Sprintf(`"phoneNumbers":[{"value":"+49 %d","type":"work"},{"value":"+49 %d","type":"mobile"}]`, r.Uint64()%1e9, r.Uint64()%1e10))
	members = append(members, fmt.Sprintf(`"addresses":[{"type":"work","streetAddress":"%s %d","locality":"%s","region":"%s","postalCode":"%05d","country":"%s","primary":true}]`,
		street[place], r.IntN(300), cities[place], cities[place], r.IntN(1e5), country[place]))
	manager := ""
	if i > 0 && r.IntN(10) != 0 {
		manager = fmt.Sprintf(`,"manager":{"value":"%s"}`, w.ID(i/10))
	}
	members = append(members, fmt.Sprintf(`"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"%s","costCenter":"%d","organization":"Nordwind GmbH","division":"%s","department":"%s"%s}`,
		id, r.IntN(1e4), unit[r.IntN(len(unit))], unit[r.IntN(len(unit))], manager))
	members = append(members, fmt.Sprintf(`"urn:contoso:employee":{"HireDate":"20%02d-%02d-01T00:00:00+01:00","Badge":"%016x%016x"}`, r.IntN(26), 1+r.IntN(12), r.Uint64(), r.Uint64()))
	o := rand.New(rand.NewPCG(w.Seed+v.shuffle, uint64(i)))
	o.Shuffle(len(members), func(a, z int) { members[a], members[z] = members[z], members[a] })
	b = append(b, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"]`...)
	for _, m := range members {
		b = append(append(b, ','), m...)
	}
	return append(b, '}')
}

// AppendRequest appends a bulk request with these people.
func (w Workforce) AppendRequest(b []byte, people []int, of func(i int) variant) []byte {
	b = append(b, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[`...)
	for n, i := range people {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(append(b, `{"method":"POST","bulkId":"`...), int64(i), 10), `","path":"/Users","data":`...)
		b = append(w.AppendPerson(b, i, of(i)), '}')
	}
	return append(b, `],"failOnErrors":null}`...)
}
