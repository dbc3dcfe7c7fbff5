# ruff: noqa: E501  (data: a template or a list stays on its line)
"""Templates of everyday spoken requests over many domains, for training texts."""

RULES = {
    "turn": "(turn|switch)",
    "polite": "[(please|can you|could you|would you|hey can you)]",
    "order": "(i'd like|i would like|can i have|could i get|can i get|i'll have|give me|get me|make me|order|i want|bring me|may i have|let me have|i'll take|i need|could you make|prepare|brew)",
    "count": "(a|one|two|three|four|five|six|another|{2..12})",
    "one_drink": "[<count>] [{size}] [{roast}] {drink}[s]",
    "coffee_extras": "with ({milk}|{sweet}|{milk} and {sweet}|{shot}|{sweet} and {milk}|{milk} {sweet} and {shot})",
    "pizza": "[<count>] [{size}] [{crust}] {food}[s]",
    "toppings": "({topping}|{topping} and {topping}|{topping} {topping} and {topping}|no {topping}|extra {topping}|{topping} but no {topping})",
    "percent": "{0..100} percent",
    "temp": "{5..95} [degrees] [(celsius|fahrenheit)]",
    "in": "(in|of)",
    "the": "(the|my|our)",
}

TEMPLATES = {
    "timer": """(set|start) a timer for {duration}
set [a] {duration} timer [for the (pasta|eggs|pizza|rice|laundry|cake|roast)]
(cancel|stop|pause|resume) <the> [(pasta|egg|kitchen|second|last)] timer
add {duration} to <the> timer
how much time is left [on the (pasta|egg|first) timer]
remind me in {duration} to {task}
(start|stop|reset) the stopwatch""",
    "alarm": """wake me up at {time} [on {day}]
set an alarm for {time} [on {day}] [called {topic}]
(cancel|delete|snooze) <the> [{time}] alarm [on {day}]
remind me to {task} [at {time}] [on {day}]
remind me (at {time}|on {day}) to {task}
what time is my [next|first] alarm
add (lunch|dinner|a meeting|an appointment|a call) with {person} to my calendar (on {day}|{day}) at {time}
what is on my calendar (on|for) {day}
move my {time} meeting to {time}""",
    "music": """play {song} [(in|on) the {area} [speaker]]
<polite> play {song} by {person}
(skip|repeat|pause|stop|resume) [the|this] (song|music|track) [in the {area}]
<polite> (turn|switch) (up|down) the (volume|music|bass|tv) [by <percent>]
set the volume to ({0..10}|<percent>) [in the {area}]
volume (up|down) [a (little|bit|lot)]
shuffle {song} in the {area} at <percent> volume
play the (next|previous|last) (song|track|album)
what (song|album) is (this|playing)
add this (song|album) to my (favorites|running|party) playlist
watch {show} [on the {area} tv]
switch the tv to {show}
(fast forward|rewind) [by] {duration}""",
    "coffee": """<polite> <order> (a|one|two|three) [{size}] [{roast}] {coffee}
<order> (a|an|one|two|three) {size} {coffee} <coffee_extras>
<order> (a|an|one) {size} {roast} {coffee} <coffee_extras>
<order> (a|an|two) {shot} {size} {coffee} <coffee_extras>
[<order>] {size} {coffee} <coffee_extras> [please]
[<order>] (a|one|two) {coffee} {size} [and] {roast} [with] {milk} [and] {sweet}
make it {size} [with {milk}] [and {sweet}]
<order> (a|an) {shot} {coffee} [with {sweet}]
(one|two|three) {size} {drink}s and (one|two|three) {size} {drink}s [please]
<order> some {coffee} (with|without) {milk} (and|or) {sweet}
<order> (a|an) [{size}] cup of {roast} {coffee} (with|and) {sweet}
(put|add) {sweet} (in|into|to) my {coffee}""",
    "order": """<order> <pizza> [with <toppings>] [please]
<order> <pizza> with <toppings> and <one_drink>
<order> <one_drink> [and <one_drink>]
<order> <pizza> with {topping} on one half and {topping} on the other
(add|remove) <toppings> (to|from) my (order|{food}|pizza|burger|salad)
change my (order|drink) to <one_drink>
(repeat|cancel|confirm|check) my order
<pizza> to go
<order> <one_drink> (with|without) (ice|lemon|{milk}|{sweet})
two {food}s one with {topping} and one without
for delivery to {place} at {time}
<order> the {food} {crust} with {topping} on the side
that's all (thanks|thank you)|how much is (that|the {food})
can we have the (bill|check|menu) please
table for {2..12} at {time} [on {day}]""",
    "light": """<turn> (on|off) [all] <the> {area} (light|lights|lamp)
<turn> <the> {area} (light|lights|lamp) (on|off)
(set|dim|brighten) <the> {area} lights to <percent>
(set|change|make) <the> ({area} lights|{name}) [to] {color} [and <percent> [brightness]]
(make it|it's too) (brighter|darker|dark|bright) in (here|the {area})
dim the lights [in the {area}] by <percent>
lights (on|off) [in the {area}]
{area} lights (on|off|{color}|<percent>)
<turn> the {area} lights {color} and the {area} lights (off|{color})
(all|every) (light|lamp|lights) off""",
    "appliance": """<polite> <turn> (on|off) <the> {name} [in the {area}]
<turn> <the> {name} (on|off) [for {duration}|at {time}|in {duration}]
(start|stop|pause) <the> {name} [in {duration}|at {time}]
(run|start) the (dishwasher|washer|dryer|oven|microwave) on {program} [for {duration}]
(preheat|set|heat) the oven to {150..550,5} degrees [(celsius|fahrenheit)] [for {duration}]
microwave [the {food}] for {duration} [(on|at) (high|medium|low|<percent>)]
is the {name} (on|off|running|open|locked)
(open|close|shut|raise|lower) <the> [{area}] (blinds|curtains|shutters|window|door|garage door|gate) [to <percent>|halfway]
(lock|unlock) the (front|back|side|garage|patio) door
(vacuum|clean|mop|sweep) the {area} [and the {area}] [(at {time}|now|twice)]
(boil|heat up) (the kettle|water|{1..6} cups of water) [to {60..100,5} degrees]
wash (cold|warm|hot) at {30..90,10} degrees with {program} spin
set the (fan|hood|mixer|blender) [speed] to (low|medium|high|{1..10}|<percent>|maximum)
stir|mix|chop|grind|weigh {1..500} grams [of {grocery}]""",
    "climate": """(set|turn|change) <the> [{area}] (temperature|thermostat|heating|heat|air conditioning) to <temp>
<turn> (up|down) the (heat|heating|air conditioning|temperature) [by {1..10} degrees] [in the {area}]
make it (warmer|cooler|colder|hotter) in the {area}
what is the (temperature|humidity) (in the {area}|outside|in {place})
(it's|i'm) too (hot|cold) [in (here|the {area})]
set the (heating|heater) to <temp> (from|until|at) {time} [on {day}]
(increase|decrease|raise|lower) the [{area}] temperature (by|to) <temp>""",
    "shopping": """(add|put) [{amount}] {grocery} [and [{amount}] {grocery}] (to|on) <the> [shopping|grocery|to do] list
(remove|delete|take) {grocery} (from|off) <the> [shopping] list
(buy|order|get) {amount} {grocery} [{amount} {grocery}] and {amount} {grocery}
what's on <the> (shopping|to do) list
we (need|are out of|ran out of) {grocery} [and {grocery}]
(clear|read|share) <the> (shopping|grocery) list
is {grocery} on the list""",
    "navigation": """(navigate|drive|take me|directions|get directions) to {place} [(avoiding|without) (tolls|highways|ferries)]
how (far|long) is it to {place} [by (car|bike|bus|train|foot)]
(find|show me) {place} near (me|{place})
how is the traffic (on the way|to {place})
(add|remove) a stop at {place}
turn (left|right) (in {duration}|after {50..900,50} (feet|meters)|at the next light)
(when|what time) is the next (bus|train|flight|tram) to {place}
book a (taxi|cab|ride) (to|from) {place} (at {time}|for {2..6} people)
call {person} [on speaker]|text {person} that i'll be (late|home at {time})
(stop|start|mute) (navigation|guidance)""",
    "ask": """what is {0..100} (plus|minus|times|divided by) {1..100}
convert {1..500} {unit} to {unit}
what's the weather [like] (on {day}|in {place}|today|tomorrow)
will it (rain|snow) (on {day}|in {place}|at {time})
what (time|day|date) is it [in {place}]
tell me (a joke|a story|something|the news) [about {topic}]
how do you (spell|say|pronounce) {topic}
who (was|is|invented) {topic}
(good|hi good) (morning|night|evening|afternoon) [{person}]
(yes|no|okay|sure|never mind|thank you|thanks) [that is (right|wrong|all|enough)]
read (my|the) (messages|mail|news|headlines)
(send|write) a message to {person} saying (happy birthday|i am on my way|see you {day}|call me back)
how many {unit} are in {2..50} {unit}
(flip a coin|roll a (dice|die)|pick a number (between|from) {1..10} (and|to) {11..100})""",
    "control": """(go|move|drive|fly|roll|turn) (forward|backward|left|right|up|down|back) [{1..100} (steps|meters|feet|degrees|centimeters)]
(start|stop|pause|follow|wait|come here|turn around|sit|stay|land|take off) [now|please]
(select|press|choose) (button|option|item|page|channel|line) {1..100}
(zoom|scroll) (in|out|up|down|left|right) [by <percent>]
(open|close|launch|quit) the (camera|browser|mail|map|music|settings) [app]
(next|previous|first|last) (page|photo|slide|step|item|recipe)
set (speed|channel|level|power|mode|gear) [to] ({1..100}|{program}|(low|medium|high|full))
(measure|log|record) {1..300} {unit} [of {grocery}]
(move|pick up|put|drop) the {color} (box|cube|ball|block|part) (on|in|into|under|next to) the {color} (box|tray|bin|shelf)
(bay|room|gate|table|machine|zone) {1..40} (ready|clear|done|occupied|needs service)
{program} mode (on|off)|(enable|disable) {program} mode""",
}


def templates(domain: str) -> list[str]:
    """The templates of one domain; a line that holds top-level alternatives is wrapped in brackets."""
    return [f"({line.strip()})" for line in TEMPLATES[domain].splitlines()]
