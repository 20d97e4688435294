package records

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"induct/internal/scim"
)

// Suggestion is a mapping that was made from the names of columns.
type Suggestion struct {
	Mapping    []byte // the mapping file, indented, as ParseMapping reads it; its member unmapped lists Unmapped
	Attributes []Suggested
	Unmapped   []string // columns that no attribute was found for, in their order
}

// Suggested is an attribute and where its value was found.
type Suggested struct {
	Path       string
	Column     string // "" for a constant; several are joined by " + "
	Confidence Confidence
	Why        string // what a person should know or check
}

// Confidence says how sure a suggestion is.
type Confidence string

// The degrees of confidence: a usual name, a name that is only like one or a value that fits, a guess.
const (
	ConfidenceHigh   Confidence = "high"
	ConfidenceMedium Confidence = "medium"
	ConfidenceLow    Confidence = "low"
)

// sampleURN is the extension that the sample clients for API-driven provisioning use for columns of a CSV file.
const sampleURN = "urn:ietf:params:scim:schemas:extension:csv:1.0:User"

// Suggest finds attributes for the columns of a file by their names, in English, German, French or Spanish and in
// any style, and by a sample of its cells: rows with a cell per column, others are passed over. The mapping is one that
// ParseMapping accepts if any column has a name of its own; what has low confidence should be looked at.
func Suggest(columns []string, sample [][]string) Suggestion {
	sample = slices.DeleteFunc(slices.Clone(sample), func(row []string) bool { return len(row) != len(columns) })
	s := &suggester{columns: columns, sample: sample, count: map[string]int{}, used: map[int]bool{}, at: map[string]int{}}
	for _, c := range columns {
		s.count[c]++
	}
	s.match()
	s.complete()
	return s.suggestion()
}

// aim is an attribute and the names that its column usually has, the surest first, without blanks, case and accents.
type aim struct {
	path  string
	names []string
}

func usual(path, names string) aim { return aim{path, strings.Fields(names)} }

const (
	workEmail     = `emails[type eq "work"].value`
	workAddress   = `addresses[type eq "work"].`
	workPhone     = `phoneNumbers[type eq "work"].value`
	hireDate      = sampleURN + ":HireDate"
	leaveDate     = sampleURN + ":TerminationDate"
	enterpriseURN = scim.EnterpriseURN + ":"

	employeeNumber = enterpriseURN + "employeeNumber"
)

// aims are in the order of the mapping that is made.
var aims = []aim{
	usual("externalId", `externalid workerid employeeid personidexternal employeenumber employeeno employeecode empid empno empcode emplid eeid personnelnumber
		personnelno personnelid staffid staffnumber personid personnumber associateid payrollid workernumber
		personalnummer personalnr persnr mitarbeiternummer mitarbeiterid mitarbeiternr matricule numeroemploye idemploye idsalarie numerosalarie
		numeroempleado idempleado codigoempleado numerodeempleado nummer id`),
	usual("userName", `username userprincipalname upn userid userlogin loginname loginid login samaccountname networkid accountname useraccount
		benutzername anmeldename benutzerkennung benutzerid nomdutilisateur nomutilisateur identifiant nombredeusuario nombreusuario usuario`),
	usual("active", `active isactive workerstatus employeestatus employmentstatus status accountenabled enabled emplstatus personstatus userstatus currentlyactive
		aktiv mitarbeiterstatus beschaeftigungsstatus actif statut statutemploye activo estado estadoempleado`),
	usual("displayName", `displayname fullname employeename workername preferredfullname completename employeefullname namedisplay
		anzeigename vollstaendigername nomcomplet nomaffiche nombrecompleto namefull name`),
	usual("name.givenName", `firstname givenname forename legalfirstname fname namefirst namegivenname firstnamelegal
		vorname prenom prenoms nombre nombres primernombre first given`),
	usual("name.middleName", `middlename middlenames namemiddle zweitervorname deuxiemeprenom segundonombre middle`),
	usual("name.familyName", `lastname surname familyname legallastname lname namelast namefamilyname
		nachname familienname zuname nomdefamille nomfamille nom apellido apellidos primerapellido last family`),
	usual("name.honorificPrefix", `nameprefix honorificprefix salutation honorific courtesytitle anrede civilite tratamiento prefix`),
	usual("name.honorificSuffix", `namesuffix honorificsuffix suffix namenszusatz`),
	usual("name.formatted", `formattedname nameformatted legalname legalfullname`),
	usual("nickName", `nickname preferredname preferredfirstname knownas rufname spitzname surnom apodo`),
	usual("title", `jobtitle businesstitle positiontitle title jobname jobprofile position designation jobdescription
		stellenbezeichnung berufsbezeichnung positionsbezeichnung funktion stelle intituleduposte intituleposte poste fonction puesto cargo titulodelpuesto`),
	usual("userType", `usertype employeetype workertype employmenttype employeeclass persontype contracttype workersubtype employeegroup
		mitarbeitertyp beschaeftigungsart vertragsart anstellungsart typedecontrat typecontrat typeemploye tipoempleado tipodeempleado tipodecontrato`),
	usual("preferredLanguage", `preferredlanguage language languagecode lang sprache korrespondenzsprache langue idioma lengua`),
	usual("locale", `locale userlocale`),
	usual("timezone", `timezone tz zeitzone fuseauhoraire zonahoraria`),
	usual("profileUrl", `profileurl profilelink`),
	usual(workEmail, `workemail businessemail companyemail emailwork primaryworkemail officialemail corporateemail emailaddress email primaryemail mail emailid
		emailsvalue dienstlicheemail geschaeftlicheemail emailgeschaeftlich emaildienstlich mailadresse emailadresse
		emailprofessionnel courriel adressemail adresseemail correocorporativo correoelectronico correo emailcorporativo`),
	usual(`emails[type eq "home"].value`, `homeemail personalemail privateemail emailhome privateemailadresse emailprivat emailpersonnel emailperso correopersonal`),
	usual(workPhone, `workphone businessphone officephone workphonenumber workphoneno phonework workphoneplusextension phonenumber phone telephone telephonenumber
		telefongeschaeftlich telefondienstlich telefon telefonnummer telephonebureau telephoneprofessionnel telefono telefonotrabajo telefonooficina`),
	usual(`phoneNumbers[type eq "mobile"].value`, `mobilephone mobile mobilenumber cellphone cell mobilephonenumber workmobile
		handy mobiltelefon mobilnummer handynummer telephoneportable portable mobiltel telefonomovil movil celular`),
	usual(`phoneNumbers[type eq "home"].value`, `homephone privatephone personalphone telefonprivat telephonedomicile telefonocasa`),
	usual(`phoneNumbers[type eq "fax"].value`, `fax faxnumber workfax faxnummer telecopie`),
	usual(workAddress+"streetAddress", `streetaddress workstreet street addressline1 address1 workaddress officeaddress address addressstreet
		strasse strassehausnummer strasseundhausnummer adresse anschrift rue direccion calle domicilio`),
	usual(workAddress+"locality", `city workcity town locality addresscity workplacecity ort stadt ville commune ciudad localidad municipio`),
	usual(workAddress+"region", `state region province stateprovince county addressstate staterregion bundesland kanton etat provincia comunidadautonoma`),
	usual(workAddress+"postalCode", `postalcode zipcode zip postcode addresszip plz postleitzahl codepostal codigopostal cp`),
	usual(workAddress+"country", `countrycode country countryiso countryisocode workcountry countryregion addresscountry co land laendercode laenderkennzeichen pays codepays pais codigopais`),
	usual(employeeNumber, ``),
	usual(enterpriseURN+"costCenter", `costcenter costcentre costcentercode costcenterid kostenstelle kst centredecout centredecouts centrodecoste centrodecostos centrocosto`),
	usual(enterpriseURN+"organization", `company organization companyname organisation legalentity employer companycode legalemployer organizationname
		firma unternehmen gesellschaft arbeitgeber mandant societe entreprise empresa compania sociedad`),
	usual(enterpriseURN+"division", `division businessunit divisionname geschaeftsbereich bereich sparte direction unidaddenegocio`),
	usual(enterpriseURN+"department", `department departmentname dept deptname supervisoryorganization orgunit organizationalunit team
		abteilung organisationseinheit abteilungsname service departement departamento area`),
	usual(enterpriseURN+"manager.value", `managerid managerworkerid manageremployeeid manageremployeenumber supervisorid managerexternalid reportstoid supervisoreid linemanagerid manageruserid
		reportsto manager supervisor linemanager vorgesetztenid vorgesetzterid vorgesetztenummer idvorgesetzter vorgesetzter fuehrungskraft
		idmanager idresponsable matriculemanager responsable idjefe jefe supervisornumero`),
	usual(hireDate, `hiredate employmentstartdate startdate dateofhire originalhiredate joindate joiningdate dateofjoining
		eintrittsdatum eintritt einstellungsdatum datedembauche dateembauche datedentree dateentree fechadecontratacion fechadeingreso fechaingreso fechacontratacion fechadealta`),
	usual(leaveDate, `terminationdate leavedate enddate employmentenddate lastday lastdayofwork lastworkingday contractenddate
		austrittsdatum austritt kuendigungsdatum datedesortie datesortie findecontrat fechadebaja fechabaja fechadesalida`),
}

// fillers are words that names of columns carry and that tell nothing.
var fillers = strings.Fields(`employee worker person staff user hr legal work business primary current official company the of no
	mitarbeiter arbeitnehmer person employe salarie empleado trabajador personal data info information details text description name code`)

type suggester struct {
	columns []string
	sample  [][]string
	count   map[string]int // of each column's name
	used    map[int]bool
	at      map[string]int // path → column
	list    []Suggested
	rules   []member // of the mapping, in the order of list
}

// match gives each attribute the column whose name says so: first those with exactly a usual name, the surest of all
// first, then those with one among fillers.
func (s *suggester) match() {
	plain, bare := make([]string, len(s.columns)), make([]string, len(s.columns))
	for i, c := range s.columns {
		words := wordsOf(c)
		plain[i] = strings.Join(words, "")
		bare[i] = strings.Join(slices.DeleteFunc(words, func(w string) bool { return slices.Contains(fillers, w) }), "")
	}
	found := map[string]Confidence{}
	for _, names := range [][]string{plain, bare} {
		for rank := 0; ; rank++ {
			more := false
			for _, a := range aims {
				if rank >= len(a.names) {
					continue
				}
				more = true
				if _, ok := s.at[a.path]; ok || a.path == employeeNumber {
					continue
				}
				for i, n := range names {
					if n == a.names[rank] && !s.used[i] && s.isUnique(i) && s.fits(a.path, i) {
						s.at[a.path], s.used[i] = i, true
						found[a.path] = ConfidenceHigh
						if &names[0] == &bare[0] || len(n) < 3 || n == "name" {
							found[a.path] = ConfidenceMedium
						}
						break
					}
				}
			}
			if !more {
				break
			}
		}
	}
	s.anchor(found)
	s.email(found)
	for i, n := range plain { // what may be the externalId is the employeeNumber only beside another
		if _, ok := s.at[employeeNumber]; !ok && !s.used[i] && s.isUnique(i) && strings.HasPrefix(n, "employee") && slices.Contains(aims[0].names, n) {
			s.at[employeeNumber], s.used[i], found[employeeNumber] = i, true, ConfidenceHigh
		}
	}
	for _, a := range aims {
		if i, ok := s.at[a.path]; ok {
			s.add(a.path, i, found[a.path])
		}
	}
}

// anchor finds an externalId where no name tells it: there is no mapping without.
func (s *suggester) anchor(found map[string]Confidence) {
	if _, ok := s.at["externalId"]; ok {
		return
	}
	candidates := []int{}
	for _, path := range []string{"userName", workEmail} {
		if i, ok := s.at[path]; ok {
			candidates = append(candidates, i)
		}
	}
	for i := range s.columns {
		if s.isUnique(i) {
			candidates = append(candidates, i)
		}
	}
	for _, i := range candidates {
		if s.distinct(i) {
			s.at["externalId"], s.used[i] = i, true
			found["externalId"] = ConfidenceLow
			return
		}
	}
	if len(candidates) > 0 {
		s.at["externalId"], s.used[candidates[0]] = candidates[0], true
		found["externalId"] = ConfidenceLow
	}
}

// email finds a column of addresses whose name does not tell.
func (s *suggester) email(found map[string]Confidence) {
	if _, ok := s.at[workEmail]; ok {
		return
	}
	for i := range s.columns {
		if !s.used[i] && s.isUnique(i) && s.share(i, isEmail) > 0.8 {
			s.at[workEmail], s.used[i], found[workEmail] = i, true, ConfidenceMedium
			return
		}
	}
}

// fits reports whether the cells do not contradict what the name of their column says.
func (s *suggester) fits(path string, i int) bool {
	switch path {
	case enterpriseURN + "manager.value":
		// A manager is told by the externalId, not by the name.
		return s.share(i, func(v string) bool { return strings.Contains(strings.TrimSpace(v), " ") }) < 0.5
	case hireDate, leaveDate:
		return s.blank(i) || s.share(i, func(v string) bool { return strings.ContainsAny(v, "0123456789") }) > 0.8
	case workEmail, `emails[type eq "home"].value`:
		return s.blank(i) || s.share(i, isEmail) > 0
	case "name.familyName", "name.givenName", "displayName":
		return s.share(i, isEmail) < 0.5
	}
	return true
}

// add takes up an attribute with its column, and says what the cells tell.
func (s *suggester) add(path string, i int, c Confidence) {
	rule, why := quote(s.columns[i]), "the column's name"
	if c == ConfidenceLow {
		why = "no column's name tells it; this is a guess"
	}
	switch path {
	case "active":
		rule, c, why = s.active(i, c)
	case workEmail:
		if v, ok := s.odd(i, isEmail); ok && s.share(i, isEmail) < 0.8 {
			c, why = ConfidenceLow, fmt.Sprintf("cells such as %q are no e-mail addresses", clip(v))
		} else if c == ConfidenceMedium && !s.blank(i) {
			why = "its cells are e-mail addresses"
		}
	case workAddress + "country":
		if v, ok := s.odd(i, func(v string) bool { return checkCountry(v) == "" }); ok {
			c, why = ConfidenceLow, fmt.Sprintf("cells such as %q are no ISO 3166-1 codes; correct them or leave the attribute out", clip(v))
		}
	case hireDate, leaveDate:
		why = "the column's name; the job needs this attribute of an extension in its schema"
		if v, ok := s.odd(i, isDate); ok {
			c, why = ConfidenceLow, fmt.Sprintf("cells such as %q are no dates of ISO 8601; have them written as 2026-03-31", clip(v))
		} else if c == ConfidenceHigh {
			c = ConfidenceMedium
		}
	case enterpriseURN + "manager.value":
		if v, ok := s.stranger(i); ok {
			c, why = ConfidenceLow, fmt.Sprintf("it must hold the manager's %s, and %q is none of those in the sample", s.columns[s.at["externalId"]], clip(v))
		}
	case "externalId":
		if !s.distinct(i) {
			c, why = ConfidenceLow, "it must tell people apart, and the sample has a value twice or none"
		}
	}
	s.take(path, s.columns[i], rule, c, why)
}

func (s *suggester) take(path, column string, rule []byte, c Confidence, why string) {
	s.list = append(s.list, Suggested{path, column, c, why})
	s.rules = append(s.rules, member{path, rule})
}

// Words that a status has, folded.
var (
	activeWords = strings.Fields(`active a aktiv actif activo employed current currentlyemployed working enabled onleave leave paidleave unpaidleave
		parentalleave loa leaveofabsence probation beurlaubt elternzeit mutterschutz enconge conge licencia enpermiso present`)
	endedWords = strings.Fields(`terminated inactive t i left leaver former resigned retired disabled ended suspended deceased dismissed
		inaktiv ausgeschieden gekuendigt ausgetreten inactif sorti parti depart inactivo baja cesado despedido jubilado`)
)

// active makes a boolean of the cells that were found.
func (s *suggester) active(i int, c Confidence) ([]byte, Confidence, string) {
	var all, yes, unknown []string
	booleans := true
	for _, row := range s.sample {
		v := strings.TrimSpace(row[i])
		if v == "" || slices.ContainsFunc(all, func(a string) bool { return strings.EqualFold(a, v) }) || len(all) > 50 {
			continue
		}
		all = append(all, v)
		if _, ok := parseBoolean(v); !ok {
			booleans = false
		}
		word := strings.Join(wordsOf(v), "")
		switch {
		case slices.Contains(activeWords, word):
			yes = append(yes, v)
		case !slices.Contains(endedWords, word):
			yes, unknown = append(yes, v), append(unknown, v)
		}
	}
	rule := func(r any) []byte {
		b, _ := json.Marshal(r) // cannot fail: strings
		return b
	}
	equals := func(list []string) []byte {
		return rule(struct {
			Column string   `json:"column"`
			Equals []string `json:"equals"`
		}{s.columns[i], list})
	}
	switch {
	case len(all) == 0:
		return equals([]string{"Active"}), ConfidenceLow, "the sample has no value; write those that mean active"
	case booleans:
		return rule(struct {
			Column string `json:"column"`
			Type   string `json:"type"`
		}{s.columns[i], "boolean"}), c, "its cells are true and false"
	case len(unknown) > 0 || len(all) > 20:
		return equals(yes), ConfidenceLow, fmt.Sprintf("%q may or may not mean active, and every other value disables a person; check the list", clip(strings.Join(unknown, ", ")))
	case len(yes) == 0:
		return equals([]string{"Active"}), ConfidenceLow, "no value of the sample means active; write those that do"
	}
	return equals(yes), ConfidenceMedium, "these values of the sample mean active; every other one disables a person"
}

// complete adds what follows from what was found.
func (s *suggester) complete() {
	email, hasEmail := s.at[workEmail]
	if hasEmail {
		s.take(`emails[type eq "work"].primary`, "", []byte(`{"constant":true}`), ConfidenceHigh, "there is one work address")
		if _, ok := s.at["userName"]; !ok {
			s.take("userName", s.columns[email], quote(s.columns[email]), ConfidenceMedium, "no column is named as a user name; the work address is the usual one")
		}
	}
	given, ok1 := s.at["name.givenName"]
	family, ok2 := s.at["name.familyName"]
	if _, ok := s.at["displayName"]; !ok && ok1 && ok2 {
		names := []string{s.columns[given], s.columns[family]}
		rule := fmt.Appendf(nil, `{"columns":%s,"separator":" "}`, quote(names))
		s.take("displayName", strings.Join(names, " + "), rule, ConfidenceMedium, "no column is named so; joined from first and last name")
	}
}

func (s *suggester) suggestion() Suggestion {
	out := Suggestion{Attributes: s.list, Unmapped: []string{}}
	for i, c := range s.columns {
		if !s.used[i] {
			out.Unmapped = append(out.Unmapped, c)
		}
	}
	var b bytes.Buffer
	b.WriteString("{\n  \"$schema\": \"mapping.schema.json\",\n  \"attributes\": {")
	for i, r := range s.rules {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n    %s: %s", quote(r.name), r.value)
	}
	fmt.Fprintf(&b, "\n  },\n  \"unmapped\": %s\n}\n", quote(out.Unmapped))
	out.Mapping = b.Bytes()
	return out
}

// ---- cells and names

// isUnique reports whether the column can be mapped: it has a name, and no other has the same.
func (s *suggester) isUnique(i int) bool {
	return s.count[s.columns[i]] == 1 && s.columns[i] != "" && !slices.Contains(failureColumns, s.columns[i])
}

// share is the part of the column's cells, those without text aside, for which is holds.
func (s *suggester) share(i int, is func(string) bool) float64 {
	n, of := 0, 0
	for _, row := range s.sample {
		if v := strings.TrimSpace(row[i]); v != "" {
			of++
			if is(v) {
				n++
			}
		}
	}
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func (s *suggester) blank(i int) bool {
	_, ok := s.odd(i, func(string) bool { return false })
	return !ok
}

// odd returns the first cell with text for which is does not hold.
func (s *suggester) odd(i int, is func(string) bool) (string, bool) {
	for _, row := range s.sample {
		if v := strings.TrimSpace(row[i]); v != "" && !is(v) {
			return v, true
		}
	}
	return "", false
}

// distinct reports whether nearly all cells of the column have a text of their own.
func (s *suggester) distinct(i int) bool {
	seen := map[string]bool{}
	for _, row := range s.sample {
		if v := strings.TrimSpace(row[i]); v != "" {
			seen[v] = true
		}
	}
	return 100*len(seen) >= 95*len(s.sample)
}

// stranger returns a manager that does not look like an externalId: it is none of the sample, and none that is a number
// where they are numbers.
func (s *suggester) stranger(i int) (string, bool) {
	id, ok := s.at["externalId"]
	if !ok {
		return "", false
	}
	known := map[string]bool{}
	numbers := true
	for _, row := range s.sample {
		known[strings.TrimSpace(row[id])] = true
		numbers = numbers && strings.Trim(row[id], "0123456789 ") == ""
	}
	return s.odd(i, func(v string) bool { return known[v] || numbers && strings.Trim(v, "0123456789") == "" })
}

func isEmail(s string) bool { return checkEmail(s) == "" }

// wordsOf cuts a column's name into words without case and accents: "Work E-Mail", "work_email" and "WorkEMail" are
// the same. Of a JSON path the numbers of elements are left out.
func wordsOf(name string) []string {
	for _, u := range []struct{ from, to string }{{"ä", "ae"}, {"ö", "oe"}, {"ü", "ue"}, {"Ä", "Ae"}, {"Ö", "Oe"}, {"Ü", "Ue"}, {"ß", "ss"}} {
		name = strings.ReplaceAll(name, u.from, u.to)
	}
	name = strings.NewReplacer("E-Mail", "Email", "e-mail", "email", "E-mail", "email", "#", " number ", "d'", "d", "D'", "d").Replace(norm.NFC.String(name))
	var words []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
		}
		word = word[:0]
	}
	inIndex := false
	var last rune
	for _, r := range norm.NFD.String(name) {
		switch {
		case r == '[':
			inIndex = true
			end()
		case r == ']':
			inIndex = false
		case inIndex, unicode.Is(unicode.Mn, r):
			continue
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
		case unicode.IsUpper(r) && unicode.IsLower(last):
			end()
			word = append(word, r)
		default:
			word = append(word, r)
		}
		last = r
	}
	end()
	return words
}
