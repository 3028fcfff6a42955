package example

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// words returns the words that texts are made of.
func words() []string {
	return strings.Fields(`le la les un une des de du et ou mais donc car à au aux en dans sur sous avec sans pour par
		vers chez entre depuis pendant après avant toujours souvent parfois jamais encore déjà ici là matin midi soir nuit
		jour semaine mois année été automne hiver printemps maison jardin cuisine fenêtre porte escalier rue place marché
		boulangerie école gare train vélo bateau rivière forêt montagne plage île pont clocher château village ville
		ami voisine famille enfant grand-mère cousin facteur médecin institutrice jardinier libraire musicienne
		livre lettre cahier dossier facture contrat assurance impôt quittance devis garantie recette liste photo carte
		pain lait café thé beurre œuf fromage pomme poire cerise noix miel soupe tarte gâteau crème sucre sel
		grand petit vieux nouveau rouge bleu vert jaune clair sombre doux calme léger lourd plein vide long court
		aller venir prendre donner écrire lire appeler ranger payer envoyer recevoir attendre trouver chercher garder
		partir revenir cuire goûter planter réparer dessiner chanter raconter oublier penser ça naïf Noël ambiguë`)
}

// prose writes about n bytes of text.
func prose(r *rand.Rand, n int) []byte {
	vocabulary := words()
	out := make([]byte, 0, n+32)
	for start, count := true, 0; len(out) < n; count++ {
		word := pick(r, vocabulary)
		if start {
			word = capital(word)
		}
		out = append(out, word...)
		start = false
		switch {
		case count%97 == 96:
			out, start = append(out, ".\n\n"...), true
		case r.IntN(12) == 0:
			out, start = append(out, ". "...), true
		case r.IntN(14) == 0:
			out = append(out, ", "...)
		default:
			out = append(out, ' ')
		}
	}
	return append(out, '\n')
}

func capital(word string) string {
	runes := []rune(word)
	return strings.ToUpper(string(runes[:1])) + string(runes[1:])
}

// human is somebody who does not exist.
type human struct {
	given, family string
	number        int // sets apart those who have the same name
}

func (h human) full() string { return h.given + " " + h.family }

func (h human) mail() string {
	plain := strings.NewReplacer("é", "e", "è", "e", "ë", "e", "ê", "e", "ï", "i", "ç", "c", "ô", "o", "à", "a", "û", "u", "'", "", " ", "-", "œ", "oe")
	return fmt.Sprintf("%s.%s.%d@example.org", plain.Replace(strings.ToLower(h.given)), plain.Replace(strings.ToLower(h.family)), h.number)
}

// human draws a person of a topic.
func (g *generator) human(topic string, n int) human {
	r := g.random("human "+topic, n)
	given := []string{"Zoé", "Maël", "Inès", "Côme", "Léontine", "Anaïs", "Gaspard", "Apolline", "Théo", "Noémie", "Hélène",
		"Bastien", "Clémence", "Idriss", "Yasmine", "Loïc", "Maëlys", "Octave", "Ségolène", "Titouan", "Aïcha", "Jean-Noël"}
	family := []string{"Brisefer-Lune", "Tournemoulin", "Cassegrain", "Lavandière", "Pontaubert", "d'Églantine", "Merlevent", "Ruisseau-Clair",
		"Vertemousse", "Garennes", "Boisjolivet", "Quatrevents", "Hautecoeur", "Sablonnière", "Le Goëlan", "Fontcouverte"}
	return human{given: pick(r, given), family: pick(r, family), number: n}
}

// mobile and landline are numbers that ARCEP, the French regulator, keeps for works of fiction.
func mobile(r *rand.Rand) string {
	return fmt.Sprintf("+33 6 39 98 %02d %02d", r.IntN(100), r.IntN(100))
}

func landline(r *rand.Rand) string {
	return fmt.Sprintf("+33 1 99 00 %02d %02d", r.IntN(100), r.IntN(100))
}
