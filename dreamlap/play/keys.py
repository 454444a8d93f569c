"""What keys and gamepads say to a game.

Keys that drive go by their place on the keyboard, so that WASD is one hand on every layout. The others go by their letter, and
where the layout has no such letter (Russian, Greek, Arabic) by the place that it has on most.
"""

import pygame
from pygame._sdl2 import controller

DRIVING = {
    "up": (pygame.KSCAN_UP, pygame.KSCAN_W, pygame.KSCAN_KP_8),
    "down": (pygame.KSCAN_DOWN, pygame.KSCAN_S, pygame.KSCAN_KP_2),
    "left": (pygame.KSCAN_LEFT, pygame.KSCAN_A, pygame.KSCAN_KP_4),
    "right": (pygame.KSCAN_RIGHT, pygame.KSCAN_D, pygame.KSCAN_KP_6),
}
PLACES = {place: name for name, places in DRIVING.items() for place in places}
"""Scancode -> the key of a game: arrows, WASD, keypad."""
LETTERS = {getattr(pygame, f"KSCAN_{letter.upper()}"): letter for letter in "prntcm"}
"""Scancode -> the letter that a command has."""
BUTTONS = {
    pygame.CONTROLLER_BUTTON_DPAD_UP: "up", pygame.CONTROLLER_BUTTON_DPAD_DOWN: "down",
    pygame.CONTROLLER_BUTTON_DPAD_LEFT: "left", pygame.CONTROLLER_BUTTON_DPAD_RIGHT: "right",
    pygame.CONTROLLER_BUTTON_A: "up", pygame.CONTROLLER_BUTTON_B: "down", pygame.CONTROLLER_BUTTON_X: "c",
    pygame.CONTROLLER_BUTTON_Y: "t", pygame.CONTROLLER_BUTTON_START: "p", pygame.CONTROLLER_BUTTON_BACK: "r",
}  # fmt: skip
"""Button of a gamepad -> key."""
AXES = {
    pygame.CONTROLLER_AXIS_LEFTX: "steer", pygame.CONTROLLER_AXIS_TRIGGERRIGHT: "gas",
    pygame.CONTROLLER_AXIS_TRIGGERLEFT: "brake",
}  # fmt: skip
FULL, REST = 32767, 0.12
"""Reading of an axis that is moved as far as it goes, and the share of it at which a stick may rest."""


def key_named(key: int, scancode: int) -> str:
    """The name of a key as a game knows it, from what it prints and where it is."""
    if scancode in PLACES:
        return PLACES[scancode]
    letter = pygame.key.name(key)
    if letter in LETTERS.values() or len(letter) > 1:
        return letter
    return LETTERS.get(scancode, letter)


def axis_moved(axis: int, value: int) -> tuple[str, float] | None:
    """What an axis of a gamepad moves, and how far: -1 to 1, or 0 to 1 for a pedal."""
    share = max(-1.0, min(1.0, value / FULL))
    return (AXES[axis], share if abs(share) > REST else 0.0) if axis in AXES else None


def gamepads() -> list[controller.Controller]:
    """The gamepads that are plugged in: they speak while they are held on to."""
    controller.init()
    return [controller.Controller(i) for i in range(controller.get_count()) if controller.is_controller(i)]
