"""Given names that many people have, in many countries; not those that are words, towns or brands as well."""

from typing import Final

_COMMON: Final = """
aaron abdul abigail ada adam adrian agnes ahmad ahmed aisha alan albert alejandro alessandro alex alexander alexandra
alexei alfred ali alice alicia alina alison amanda amelia amir amit amy ana anders andrea andreas andrei andrew angela
anita anja ann anna anne annette annika anthony antoine anton antonio anya arjun arthur astrid audrey barbara beatrice
beatriz ben benjamin bernard bernd beth bianca bill birgit boris brenda brian bruno camila carla carlos carmen carol
carolina caroline catherine cecilia charles chloe chris christian christina christine christoph christopher claire
claudia colin craig cristina cynthia daniel daniela danielle darren dave david deborah dennis diana diego dieter
dimitri dmitri dominik donald donna dorothy douglas dylan edith eduardo edward eileen elaine eleanor elena elias elif
elisa elisabeth elizabeth ella ellen emil emilia emily emma enrique eric erica erik erika ernst esther ethan eugene
eva evelyn fabian fatima felipe felix fernando finn fiona frances francesca francesco francisco franz frederik
friedrich gabriel gabriela gary georg george gerald gerhard gina giovanni giulia giuseppe greg gregory greta guillaume
gustav hana hannah hans harold harry hassan heather heidi heinrich helen helena helga henrik henry hiroshi holger ian
ibrahim ines ingrid irene irina isabel isabella ivan ivana jacob jacques jaime james jan jana jane janet janice jason
javier jay jean jeff jeffrey jennifer jenny jeremy jerry jessica jim jin joan joanna joe joel johan johann johanna
johannes john jon jonas jonathan jorge jose joseph joshua joyce juan juana juanita judith judy julia julian julie
jurgen justin kai karen karin karl kate katharina katherine kathleen kathryn katie katrin keith kelly ken kenji
kenneth kevin khalid klaus kristin kumar kurt lara larry lars laura lauren lea leila lena leo leon leonardo leonie
liam liang lina linda lisa liu logan louis louise luca lucas lucia lucy luigi luis luisa lukas luke magdalena manuel
manuela marc marcel marco marcus maria mariam marie marina mario marion marko markus marta martha martina mary mateo
matthew matthias maximilian maya megan mehmet mei melanie melissa michael michaela michal michelle miguel mikael mike
mila milan mohamed mohammad mohammed monica monika mustafa nadia nancy naomi natalia natalie natasha nathan neil
nicholas nick nicola nicolas nicole niklas nikolai nina noah noor nora norbert nuria oleg olga olivia omar oscar pablo
pamela paola paolo patricia patrick paul paula paulo pavel pedro peter petra philip philipp philippe pierre piotr
priya rachel rafael rahul raj rajesh ralf ralph ramon raul ravi ray raymond rebecca regina renate ricardo richard
robert roberto roger roland ronald rosa roxanne rudolf russell ruth ryan sabine sally sam samantha samuel sandra
sanjay sara sarah scott sean sebastian sergei sergio shannon sharon sheila shirley silvia simon simone sofia sonia
sophia sophie stefan stefanie stephanie stephen steve steven sunita susan susanne suzanne sven svetlana sylvia tamara
tanja tanya tara tatiana teresa theodor theresa thomas tim timothy tina tobias tom tomas tony tracy ulrich ulrike
ursula uwe valentina valeria vanessa veronica victor viktor vincent virginia vladimir walter wang wei wendy werner
wilhelm william wolfgang xavier yan yasmin yuki yusuf yves yvonne zhang zoe
"""

GIVEN_NAMES: Final = frozenset(_COMMON.split())
