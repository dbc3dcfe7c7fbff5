# ruff: noqa: E501  (data: a template or a list stays on its line)
"""Slot values for training texts, invented: `|` separates values, each may itself be a template."""

_RAW = {
    "area": """kitchen|living room|bedroom|bathroom|hallway|office|garage|basement|attic|dining room|nursery|laundry room
|guest room|garden|patio|study|playroom|workshop|master bedroom|kids room|front yard|back yard|entrance|corridor|pantry
|balcony|terrace|family room|den|library|shed|cellar|conservatory|utility room|porch|gym|music room|wine cellar|bunk room
|{person}'s room|{person}'s bedroom|staircase|landing|closet|sun room|lounge|tv room|home theater|greenhouse""",
    "floor": "first|second|third|ground|upper|lower|top|upstairs|downstairs|basement|main",
    "person": """anna|ben|carla|david|emma|frank|grace|henry|isla|jack|kate|liam|maria|noah|olivia|peter|quinn|rosa|sam
|tom|uma|victor|wendy|xavier|yusuf|zoe|alex|charlie|daniel|elena|fatima|george|hannah|ivan|julia|kevin|laura|michael
|nina|oscar|paul|rachel|sarah|thomas|mom|dad|grandma|grandpa|my brother|my sister|my wife|my husband|the office|aisha
|mohammed|chen|priya|ravi|sofia|mateo|lucas|amelia|ella|james|john|mary|linda|susan|robert|patricia|jennifer""",
    "name": """ceiling light|floor lamp|desk lamp|bedside lamp|night light|string lights|christmas lights|porch light|fan
|ceiling fan|tower fan|heater|space heater|air conditioner|thermostat|radiator|coffee maker|coffee machine|kettle|toaster
|dishwasher|washing machine|washer|dryer|tumble dryer|oven|microwave|fridge|freezer|rice cooker|slow cooker|tv|speaker
|kitchen speaker|stereo|radio|projector|sound bar|game console|printer|computer|monitor|router|doorbell|front door
|back door|garage door|side gate|window|kitchen window|skylight|curtains|blinds|shutters|awning|front door lock
|motion sensor|smoke alarm|alarm|sprinkler|pool pump|water heater|humidifier|dehumidifier|air purifier|vacuum|robot
|mower|aquarium light|fish tank|plug|smart plug|outlet|power strip|switch|living room lamp|reading light|spotlight
|chandelier|lava lamp|{person}'s lamp|movie scene|party mode|good night scene|bird feeder|cat flap|litter box|media player
|hot tub|sauna|towel warmer|electric blanket|garden hose|fountain|fireplace|extractor fan|hood light|car charger""",
    "color": """red|green|blue|yellow|orange|purple|pink|white|warm white|cool white|turquoise|cyan|magenta|violet|amber
|gold|teal|lavender|lime|brown|black|soft white|daylight""",
    "song": """jazz|classical music|rock|the beatles|some blues|hip hop|country|my favorites|the workout playlist|pop
|the news|relaxing music|dance music|christmas songs|the morning show|lullabies|a podcast about {topic}|piano music
|dinner music|the top hits|songs from the eighties|soul|reggae|heavy metal|folk songs|film music|rain sounds|ocean waves
|white noise|the radio|my discover playlist|an audio book|bohemian rhapsody|yesterday|let it be|smooth operator
|summer hits|indie rock|guitar music|opera|a happy song|the second symphony|something by {person}|the album blue train""",
    "topic": """history|science|football|cooking|travel|space|money|gardening|the weather|politics|nature|art|music
|technology|mathematics|health|dogs|cats|the ocean|ancient rome|black holes|volcanoes|bread baking|chess|tennis|whales""",
    "grocery": """milk|eggs|bread|butter|cheese|apples|bananas|oranges|lemons|grapes|tomatoes|potatoes|onions|garlic|rice
|pasta|flour|sugar|salt|pepper|olive oil|coffee|tea|orange juice|chicken|beef|salmon|tuna|ham|bacon|yogurt|cream|honey
|jam|peanut butter|cereal|oats|nuts|chocolate|cookies|ice cream|toilet paper|paper towels|dish soap|laundry detergent
|shampoo|toothpaste|batteries|light bulbs|dog food|cat food|carrots|broccoli|spinach|lettuce|cucumbers|mushrooms
|peppers|beans|corn|avocados|strawberries|blueberries|water|beer|red wine|white wine|vinegar|mustard|ketchup|mayonnaise
|ginger|basil|cinnamon|vanilla|yeast|sausages|tofu|oat milk|almond milk|candles|napkins|trash bags|sponges""",
    "amount": """{2..12}|a|one|a few|some|more|two cans of|a bag of|a pound of|two pounds of|half a pound of|a box of
|a bottle of|three bottles of|a kilo of|two liters of|a dozen|a pack of|two packs of|a jar of|five hundred grams of""",
    "drink": """coffee|latte|cappuccino|espresso|americano|mocha|flat white|macchiato|cortado|black coffee|iced coffee
|cold brew|iced latte|hot chocolate|tea|green tea|black tea|earl grey|chai latte|mint tea|iced tea|lemonade|cola
|diet cola|orange juice|apple juice|sparkling water|still water|ginger ale|smoothie|milkshake|root beer|matcha latte
|house blend|decaf|drip coffee|red eye|beer|glass of red wine|glass of white wine|espresso martini|tonic water""",
    "coffee": """coffee|latte|cappuccino|espresso|americano|mocha|flat white|macchiato|cortado|black coffee|house coffee
|ristretto|lungo|filter coffee|cafe latte|caffe mocha|drip coffee|decaf""",
    "size": """small|medium|large|extra large|tall|regular|big|little|double|single|triple|(four|six|eight|ten|twelve|sixteen|twenty) ounce
|medium sized|large sized|small sized|jumbo|mini|giant|short""",
    "milk": """milk|oat milk|almond milk|soy milk|skim milk|whole milk|coconut milk|cream|whipped cream|half and half
|two percent milk|low fat milk|steamed milk|foam|extra foam|no milk|a little milk|a splash of milk|a bit of cream""",
    "sweet": """sugar|brown sugar|two sugars|one sugar|no sugar|honey|caramel syrup|vanilla syrup|hazelnut syrup
|cinnamon|a packet of sugar|{2..4} packets of sugar|sweetener|maple syrup|chocolate syrup|extra sugar|a pinch of nutmeg
|{1..5} (spoons|teaspoons|cubes) of sugar|{2..4} sugars|some sweetener|a lot of sugar|a bit of sugar""",
    "roast": "light roast|medium roast|dark roast|decaf|extra strong|strong|mild|weak|half caf|french roast|blonde roast",
    "shot": "single shot|double shot|triple shot|quadruple shot|one shot|two shots|{2..4} shots|an extra shot|extra shots",
    "food": """pizza|burger|cheeseburger|hamburger|hot dog|salad|caesar salad|chicken sandwich|club sandwich|fries|taco
|burrito|soup|noodle soup|fried rice|sushi roll|steak|pasta|lasagna|bagel|croissant|muffin|pancakes|waffle|omelette
|chicken wings|nachos|fish and chips|kebab|wrap|toast|onion rings|ice cream|doughnut|brownie|apple pie|cheesecake|curry
|falafel|spring rolls|dumplings|ramen|veggie burger|bowl of rice|mashed potatoes|baked potato|tuna sandwich|quesadilla""",
    "topping": """cheese|extra cheese|mushrooms|pepperoni|olives|onions|green peppers|bacon|ham|pineapple|tomatoes|lettuce
|pickles|jalapenos|spinach|sausage|avocado|sour cream|salsa|mayonnaise|ketchup|mustard|barbecue sauce|hot sauce|anchovies
|chicken|egg|garlic|basil|mozzarella|cheddar|feta|corn|guacamole|ranch dressing|gravy|butter|maple syrup|nuts|sprinkles""",
    "crust": "thin crust|thick crust|stuffed crust|deep dish|gluten free|whole wheat|crispy|well done|medium rare|spicy|vegan",
    "duration": """{1..60} (minutes|seconds)|{1..12} hours|half an hour|an hour|a minute|one hour and {1..59} minutes
|{1..9} minutes and {10..50,10} seconds|an hour and a half|{2..6} and a half minutes|{2..10} hours and {5..55,5} minutes
|{5..90,5} minutes|a quarter of an hour|two and a half hours|thirty seconds|{10..90,10} seconds|{1..14} days""",
    "time": """{1..12} (a m|p m|o'clock)|{1..12} {10..59} [(a m|p m)]|{1..12} {10..50,10} [(in the (morning|evening))]
|half past {1..12}|quarter (past|to) {1..12}|noon|midnight|(five|ten|twenty) (past|to) {1..12}|{1..12} oh {1..9}
|{1..12} [in the (morning|afternoon|evening)]|{6..9} (fifteen|thirty|forty five)|tonight at {7..11}""",
    "day": """monday|tuesday|wednesday|thursday|friday|saturday|sunday|tomorrow|today|the weekend|weekdays|every day
|next (monday|tuesday|friday)|this evening|tomorrow morning|the (first|second|third|tenth|fifteenth|twentieth) of {month}""",
    "month": "january|february|march|april|may|june|july|august|september|october|november|december",
    "place": """home|work|the airport|the train station|the nearest gas station|the supermarket|the hospital|the library
|the beach|school|downtown|the city center|the post office|the bank|the pharmacy|the museum|the park|a coffee shop
|the closest parking garage|{1..99} (main|oak|park|church|river|maple|king|queen|hill) (street|road|avenue|lane)
|london|paris|boston|chicago|new york|berlin|sydney|dublin|seattle|toronto|the gym|the hotel|an italian restaurant""",
    "program": """normal|eco|quick|intensive|delicate|cotton|wool|silk|synthetic|rinse|spin|defrost|grill|bake|broil
|popcorn|reheat|turbo|night|auto|sleep|steam|boost|keep warm|pizza|self clean|hand wash|heavy duty|speed""",
    "task": """call the dentist|take out the trash|water the plants|feed the cat|walk the dog|pay the rent|buy a present
|pick up the kids|take my medicine|check the oven|charge the car|send the report|clean the windows|book a table
|turn off the sprinkler|return the book|do the laundry|wash the car|call {person}|check the mail|drink some water
|renew my passport|stretch|defrost the chicken|change the filter|put the bins out|order flowers for {person}""",
    "unit": "miles|kilometers|pounds|kilos|cups|ounces|grams|liters|gallons|inches|feet|meters|dollars|euros|degrees",
    "show": """the news|the game|a movie|cartoons|the next episode|a documentary about {topic}|channel {1..99}|the weather
|a comedy|season {1..9} episode {1..24}|the kids channel|the football match|a cooking show|home videos""",
}


def _values(raw: str) -> tuple[str, ...]:
    return tuple(value.strip() for value in " ".join(raw.split()).split("|"))


def load_lists() -> dict[str, tuple[str, ...]]:
    """Every list by name; alternatives inside brackets are kept together."""
    return {name: _join_brackets(_values(raw)) for name, raw in _RAW.items()}


def _join_brackets(parts: tuple[str, ...]) -> tuple[str, ...]:
    joined: list[str] = []
    for part in parts:
        if joined and joined[-1].count("(") + joined[-1].count("[") > joined[-1].count(")") + joined[
            -1
        ].count("]"):
            joined[-1] += "|" + part
        else:
            joined.append(part)
    return tuple(joined)
