// English opposites, and words of which one excludes the other. Written by hand for this project.
// A line is "words | words": each word of one side is opposite to each of the other. Base forms; the
// reader brings inflected ones to them. Derived opposites (happy, unhappy) need no line.
#include "cache/semantic/word_lists.h"

namespace nextgate::cache {

const std::string_view kAntonymsEnglish = R"(
on | off
up | down
in inside into indoors indoor inner inward inbound internal interior | out outside outdoors outdoor outer outward outbound external exterior
above over | below under underneath beneath
upper | lower
top | bottom
front | back rear
forward forwards ahead onward | backward backwards back behind
left | right
before prior earlier previous preceding ago | after later afterwards next following subsequent
first | last
begin start launch initiate commence open resume beginning | stop end finish quit cease terminate halt close pause ending
enable activate turnon | disable deactivate
connect attach link join couple pair | disconnect detach unlink separate leave decouple
install | uninstall remove
add insert include append attach | remove delete exclude subtract drop erase detach omit
create make build construct produce | destroy delete demolish break ruin
increase raise grow rise gain boost expand extend lift enhance | decrease reduce lower shrink fall drop lose cut decline diminish lessen shorten
maximum max maximal most highest largest | minimum min minimal least lowest smallest
more | less fewer
most | least fewest
many much | few little
all every everyone everybody everything always each entire whole | none some nobody nothing never partial part
both | neither either
always forever constantly | never sometimes rarely seldom occasionally
often frequently usually regularly | rarely seldom never occasionally hardly
everywhere | nowhere
only | also
with | without
accept agree approve allow permit let authorize grant admit | reject refuse deny decline disagree disapprove forbid prohibit ban block prevent disallow dismiss
allow enable permit | block
allowed legal permitted | forbidden illegal prohibited banned
buy purchase acquire | sell
borrow | lend loan
lend | return repay
send give export upload submit transmit mail output push | receive get take import download fetch obtain input pull
give | take
lock freeze | unlock unfreeze thaw melt
fill | empty drain
load | unload
open | shut closed close
enter login arrive come | exit leave logout depart go
arrive arrival | depart departure leave
show display reveal expose unhide | hide conceal cover mask
save keep store preserve retain hold | delete discard lose waste spend discard
save | spend
win | lose
winner | loser
victory success triumph | defeat failure loss
succeed pass | fail
profit gain benefit advantage pro pros upside | loss disadvantage drawback con cons downside
income revenue earning earnings | expense cost expenditure outgoing spending
asset | liability debt
credit | debit
deposit | withdraw withdrawal
pay | owe
employ hire recruit | fire dismiss sack layoff
employed | unemployed jobless
employer | employee
teacher | student pupil
doctor | patient
buyer customer client | seller vendor merchant
lender creditor | borrower debtor
landlord | tenant
sender payer | receiver recipient payee
parent | child
mother mom mum | father dad
brother | sister
son | daughter
husband | wife
boy | girl
man male men boyfriend gentleman | woman female women girlfriend lady
king | queen
uncle | aunt
nephew | niece
host | guest
leader | follower
master | slave servant
friend ally | enemy foe
hero | villain
good well fine great excellent nice wonderful awesome amazing fantastic superb | bad badly evil poor awful terrible horrible lousy foul wicked ill nasty dreadful
better | worse
best | worst
right correct true accurate valid | wrong incorrect false inaccurate mistaken fake invalid
real actual genuine authentic | fake false artificial imaginary unreal virtual counterfeit
truth | lie falsehood
honest truthful sincere | dishonest lying deceitful
fair just | unfair foul unjust biased
safe secure harmless | dangerous risky hazardous unsafe harmful vulnerable
healthy well | sick ill unhealthy
alive living | dead deceased
live survive | die
life birth | death
born | died dead
happy glad joyful cheerful pleased | sad unhappy miserable depressed upset sorrowful
laugh smile | cry weep frown
love like adore enjoy | hate dislike detest loathe despise
hope optimism | despair pessimism
optimistic positive | pessimistic negative
praise compliment | criticize blame insult
reward | punish punishment penalty
friendly kind gentle nice | unfriendly hostile cruel mean rude unkind harsh
polite courteous | rude impolite
brave bold courageous | cowardly timid afraid scared
calm relaxed peaceful | anxious nervous angry excited agitated upset
peace | war
attack | defend defense defence retreat
strong powerful mighty | weak feeble fragile powerless
strength | weakness
strengthen | weaken
hard difficult tough challenging complicated complex | easy simple soft effortless
hard | soft
complicated complex | simple plain
rough coarse harsh | smooth soft gentle fine
sharp | blunt dull
hot warm heat | cold cool chill frozen
heating heater | cooling cooler
hotter warmer | colder cooler
summer | winter
spring | autumn fall
wet damp moist humid | dry arid
clean pure tidy neat | dirty messy polluted filthy
big large huge giant great enormous tall | small little tiny short mini
large | small
long lengthy | short brief
longer | shorter
tall high | short low
high higher | low lower
deep | shallow
wide broad | narrow
thick fat dense | thin slim skinny sparse
fat overweight obese | thin slim underweight skinny
heavy | light lightweight
light bright | dark dim
brighten lighten | darken dim
day daytime | night nighttime
morning | evening night afternoon
am | pm
midnight | noon midday
sunrise dawn | sunset dusk
fast quick rapid swift speedy | slow sluggish
faster quicker | slower
accelerate speed hasten | decelerate slow delay brake
early | late
advance | delay postpone retreat
new fresh modern recent latest | old stale ancient outdated used obsolete
young | old elderly aged
newest latest youngest | oldest earliest
modern | traditional ancient classical
rich wealthy | poor broke
wealth | poverty
cheap inexpensive affordable | expensive costly dear pricey
free | paid
free | busy occupied
available | unavailable occupied sold
full complete whole | empty incomplete partial vacant hollow
loud noisy | quiet silent soft
sound noise | silence
mute silence | unmute
speak talk | listen
ask question | answer reply respond
question problem | answer solution
read | write
reader | writer
teach | learn
remember recall | forget
know | ignore
find discover | lose hide miss
found | lost missing
lost | found
appear | disappear vanish
visible | invisible hidden
public open | private secret closed
known famous popular | unknown obscure unpopular
common normal ordinary usual regular typical general standard | rare strange unusual abnormal special weird odd extraordinary paranormal uncommon
natural organic | artificial synthetic unnatural supernatural
normal | abnormal paranormal
possible likely probable | impossible unlikely improbable
certain sure | uncertain unsure doubtful
necessary required mandatory compulsory essential | unnecessary optional voluntary
useful helpful | useless unhelpful
relevant | irrelevant
important significant major main primary | unimportant insignificant minor trivial secondary
major | minor
primary | secondary
senior | junior
superior | inferior
maximum | minimum
majority | minority
positive plus | negative minus
plus add | minus subtract
multiply | divide
multiplication | division
addition | subtraction
even | odd
equal same identical similar alike | different unequal opposite distinct unlike
similarity | difference
compare | contrast
together joint shared | separate apart alone
alone single | together married
single unmarried | married
marry | divorce
unite combine merge join | divide split separate
singular | plural
single one once | multiple several double twice
simple | advanced
beginner novice amateur | expert professional advanced
professional | amateur
smart clever intelligent wise bright | stupid dumb foolish silly
wisdom | foolishness
beautiful pretty attractive handsome gorgeous | ugly unattractive repulsive hideous
attractive attract | repulsive repel
interesting exciting fascinating fun entertaining | boring dull tedious
boring | interesting
careful cautious | careless reckless
lucky fortunate | unlucky unfortunate
guilty | innocent
tight | loose
tighten | loosen
straight | crooked curved bent
horizontal | vertical
parallel | perpendicular serial
flat | bumpy steep hilly
solid | liquid gas hollow
black | white
north northern | south southern
east eastern | west western
northeast | southwest
northwest | southeast
near close nearby | far distant away remote
local | remote global foreign international
domestic national | foreign international
native | foreign
import | export
urban city | rural countryside
sea ocean | land
heaven | hell
god angel | devil demon
push | pull
throw | catch
sit | stand
sleep asleep | wake awake
rest | work
work working function | fail broken
work job | vacation holiday play leisure
weekday | weekend
move | stay stop
stay remain | leave go
walk | run
climb ascend ascent | descend descent fall
zoom expand maximize maximise enlarge | minimize minimise collapse shrink
minimize minimise | maximize maximise
expand | collapse contract
compress zip | decompress unzip extract
encrypt encode | decrypt decode
encode | decode
wrap pack | unwrap unpack
tie fasten buckle | untie unfasten loosen
plug | unplug
subscribe enroll register | unsubscribe unenroll unregister cancel
like | unlike dislike
follow | unfollow lead
block | unblock
ban | unban
mute | unmute
pin | unpin
mount | unmount
archive | unarchive restore
undo | redo
cancel | confirm keep renew continue
confirm | deny
continue proceed | stop pause
renew | expire cancel
pause | resume
upgrade update | downgrade rollback
backup | restore
promote promotion | demote demotion
appoint | dismiss
build | tear
fix repair mend | break damage
improve upgrade better | worsen degrade deteriorate
improvement | deterioration
heal cure treat | hurt harm injure wound
cause | effect cure prevent
cause reason | result consequence effect
symptom | treatment cure
prevent avoid | cause
help assist support | hinder harm oppose prevent hurt
support for | against oppose
pro | anti against
for | against
agree | disagree
trust believe | doubt distrust mistrust
belief | doubt
rise | set fall
inhale | exhale
swallow | spit
sweet | sour bitter salty
raw uncooked | cooked
ripe | unripe
male masculine | female feminine
offensive | defensive
active | passive inactive idle
dynamic | static
mobile portable | fixed stationary
flexible | rigid stiff
fixed | variable floating
constant stable | variable unstable changing
permanent | temporary
forever | temporarily
online | offline
digital | analog analogue
manual manually | automatic automatically
wired | wireless
hardware | software
frontend client | backend server
input | output
source | destination target
sender | recipient
origin | destination
incoming | outgoing
inbound | outbound
upstream | downstream
upload | download
uplink | downlink
ascending | descending
synchronous | asynchronous
sync | async
serial | parallel
compile | decompile interpret
allocate | free deallocate
lossless | lossy
abstract | concrete
theory theoretical | practice practical
subjective | objective
general | specific particular
broad | specific
formal | informal casual
explicit | implicit
literal | figurative
direct | indirect
oral verbal spoken | written
vowel | consonant
prefix | suffix
prologue | epilogue
ancestor | descendant
predecessor | successor
past history | future
yesterday | tomorrow
today | tomorrow yesterday
tonight | tomorrow
last previous | next
ancient | modern
adult | child minor kid
human | animal machine
predator | prey
carnivore | herbivore
vegetarian vegan | meat carnivore
acid | base alkaline
acidic | alkaline basic
virus | bacteria
proton | electron neutron
cat | dog
tea | coffee
lunch breakfast | dinner supper
breakfast | lunch
left-handed | right-handed
liberal left-wing | conservative right-wing
democrat | republican
socialism communism | capitalism
theist religious believer | atheist secular
defendant | plaintiff
prosecution | defense
guilty | acquitted
bull bullish | bear bearish
long | short
bid | ask offer
wholesale | retail
supply | demand
surplus excess | shortage deficit lack
inflation | deflation
discount | surcharge
refund | charge
charge | discharge
reimburse | charge
gross | net
debit | credit
lender | borrower
savings | checking
fixed | adjustable
prepaid | postpaid
departure | arrival
one-way | round-trip
takeoff | landing
indoors | outdoors
vacant | occupied
entrance entry | exit
push | pull
crowded busy | empty deserted quiet
thick | thin
transparent clear | opaque cloudy
clear clearly | unclear vague ambiguous
precise exact | approximate rough vague
approximately about | exactly precisely
exactly | approximately
partially partly | completely fully entirely totally
slightly | greatly extremely
quickly | slowly
hardly barely | easily fully
generous | stingy selfish greedy
selfish | selfless unselfish
humble modest | arrogant proud
lazy | diligent hardworking industrious
patient | impatient
mature | immature childish
serious | funny joking
tragedy | comedy
fiction | nonfiction fact
fact | opinion myth fiction
ally | opponent
opponent | supporter
victim | criminal attacker
legal lawful | illegal unlawful criminal
moral ethical | immoral unethical
sober | drunk
awake | asleep
pregnant | infertile
conscious | unconscious
sane | insane crazy mad
blind | sighted
deaf | hearing
breathless | breathing
barefoot | shod
naked nude | dressed clothed
dress | undress
shallow | profound
order | chaos disorder
discipline | disorder
victory | loss
freedom | slavery captivity
release free liberate | capture imprison arrest catch
arrest | release
include | exclude
inclusive | exclusive
inclusion | exclusion
convex | concave
clockwise | counterclockwise anticlockwise
odd | even
rational | irrational
finite | infinite
limited | unlimited
upstairs | downstairs
uphill | downhill
upward | downward
upside | downside
onshore | offshore
overestimate | underestimate
overpay overcharge | underpay undercharge
overload | underload
hyper | hypo
hypertension | hypotension
macro | micro
maxi | mini
inflate | deflate
inhibit suppress | stimulate promote encourage
encourage | discourage
motivate | demotivate
appetizer | dessert
evaporate | condense
freeze | boil melt
explode | implode
emigrate emigration | immigrate immigration
immigrant | emigrant
explicit | implicit
ascend | descend
assemble | disassemble dismantle
construct | deconstruct
centralized | decentralized
regular | irregular
literate | illiterate
presence present | absence absent
attend | miss skip
skip | repeat
hit | miss
pass | fail
bless | curse
forgive | punish resent
obey | disobey defy
respect | despise contempt
pride | shame
proud | ashamed
pleasure | pain
comfort | discomfort
painful | painless
rise | sink
float | sink
import | export
)";

}  // namespace nextgate::cache
